"""Processes under measurement: a service, or a peer with its own libraries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared.cli.children import die_with, tail
from shared.cli.supervisor import ASK_S, not_ready

ROOT = Path(__file__).resolve().parents[3]
PEERS = Path(__file__).with_name("peers")
BENCH_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
STOP_S = 30.0
READY_S = 60.0
LOOK_S = 0.1


class ProcessFailed(RuntimeError):
    """A process under measurement ended early; the message has the end of its log."""


class Measured:
    """A running process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    def alive(self) -> None:
        """Raise ProcessFailed if it has ended."""
        if (code := self.process.poll()) is not None:
            raise ProcessFailed(f"exit code {code}; the end of its log:\n{tail(self._log)}")

    def await_ready(self, url: str) -> None:
        """Return when `url`/readyz says so. Raises ProcessFailed."""
        deadline = time.monotonic() + READY_S
        with httpx.Client(timeout=ASK_S) as http:
            while problem := not_ready(url, http):
                self.alive()
                if time.monotonic() > deadline:
                    raise ProcessFailed(f"not ready within {READY_S:.0f} s: {problem}")
                time.sleep(LOOK_S)


@contextmanager
def measured(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Measured]:
    """Run a command while the context is open; what it prints goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with(os.getpid(), signal.SIGKILL),
        )
    try:
        yield Measured(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def peer_command(name: str, *arguments: str, own_libraries: bool = True) -> list[str]:
    """The command line of a program in `peers`. Raises ProcessFailed if its libraries are not installed."""
    python = str(BENCH_PYTHON) if own_libraries else sys.executable
    if own_libraries and not BENCH_PYTHON.exists():
        raise ProcessFailed(
            f"the peers' libraries are not installed in {BENCH_PYTHON.parents[1]}: make bench-install"
        )
    return [python, str(PEERS / f"{name}.py"), *arguments]
