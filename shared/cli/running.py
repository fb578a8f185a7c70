"""A loop of its own for a command that needs one: the demo, a benchmark, a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shared.broker.node_files import HOST
from shared.broker.ports import FIRST, LAST, free_block
from shared.cli.addresses import BLOCK, Addresses
from shared.cli.children import die_with, tail

STOP_S = 90.0
"""Several processes, each of which may take its time."""
APART = 97
"""Loops that start at the same time look for ports in so many different places."""


class LoopFailed(RuntimeError):
    """`streamwheel up` did not come to be ready; the message is what it said."""


def free_base() -> int:
    """A port base whose ports are free now."""
    width = (LAST - FIRST) // 2 // APART
    return free_block(HOST, BLOCK, FIRST + width * (os.getpid() % APART))


@contextmanager
def running(
    state: Path,
    port_base: int | None = None,
    applications: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Addresses]:
    """Run `streamwheel up` in `state` as a process of its own while the context is open.

    `environment` is added to this process's own; STREAMWHEEL_BROKER in it takes the embedded Kafka's place.
    What the supervisor says is in `state`/logs/supervisor.log. Raises LoopFailed.
    """
    chosen = os.environ | dict(environment or {})
    base = free_base() if port_base is None else port_base
    command = [sys.executable, "-m", "shared.cli", "up", "--state", str(state), "--port-base", str(base)]
    if applications:
        command += ["--applications", str(applications)]
    log = state / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as told:
        process = subprocess.Popen(
            command,
            env=chosen,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
            start_new_session=True,  # Ctrl-C reaches the command, which stops the loop when it is done
            preexec_fn=die_with(os.getpid(), signal.SIGTERM),
        )
    with process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                process.wait(STOP_S)
                raise LoopFailed(f"the loop could not be started:\n{tail(log)}")
            yield Addresses(base, chosen.get("STREAMWHEEL_BROKER") or None)
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
