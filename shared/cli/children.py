"""One supervised process: started with its log, restarted with backoff, never outliving its supervisor."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.cli.state import StateFolder

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
STEADY_S = 10.0
"""A process that ran so long before it died is started again without a longer delay."""
LOG_LIMIT = 10_000_000
"""Bytes after which a log moves to `….log.1`."""
STOP_S = 15.0
"""What a clean stop may take: services give requests in flight 10 s."""
TAIL_LINES = 20
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Spec:
    """What to run: `command`, with `environment` on top of the supervisor's own."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    """Base of /readyz and /metrics; None where the process speaks no HTTP."""


class Child:
    """A process that is meant to run, whether it does at the moment or not."""

    def __init__(self, spec: Spec, folder: StateFolder, clock: Callable[[], float]) -> None:
        self.spec, self.restarts = spec, 0
        self._folder, self._clock = folder, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._due = 0.0
        self._delay = FIRST_DELAY_S

    @property
    def pid(self) -> int | None:
        """The pid, None while it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process and write its pid file. Raises OSError."""
        with self._folder.log(self.spec.name).open("ab") as log:
            self._process = subprocess.Popen(
                self.spec.command,
                env=os.environ | self.spec.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops all in order
                preexec_fn=die_with(os.getpid(), signal.SIGKILL),
            )
        self._folder.record(self.spec.name, self._process.pid)
        self._started = self._clock()

    def ended(self) -> int | None:
        """The exit code (negative: a signal) if the process has ended since the last look, else None."""
        code = self._process.poll() if self._process else None
        if code is None:
            return None
        self._process = None
        self._folder.record(self.spec.name, None)
        now = self._clock()
        steady = now - self._started >= STEADY_S
        self._delay = FIRST_DELAY_S if steady else min(LONGEST_DELAY_S, self._delay * 2)
        self._due = now + self._delay
        return code

    def revive(self) -> bool:
        """Start the process again if it does not run and its delay is over; whether it was started."""
        if self._process is not None or self._clock() < self._due:
            return False
        self.restarts += 1
        self.start()
        return True

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Ask the process to stop and kill it after `timeout_s`; whether it went by itself."""
        if self._process is None:
            return True
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
            clean = True
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            clean = False
        self._folder.record(self.spec.name, None)
        return clean

    def tail(self) -> str:
        """The end of its log, indented."""
        return tail(self._folder.log(self.spec.name))

    def roll_log(self) -> None:
        """Move a log that has grown long aside. The process appends, so it goes on at the start."""
        log = self._folder.log(self.spec.name)
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a file, indented; empty if there is none."""
    if not path.exists():
        return ""
    return "".join(f"  {line}\n" for line in path.read_text(errors="replace").splitlines()[-lines:])


def die_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before its program, so that the kernel signals it when `parent` ends (Linux).

    It is the thread that starts the child whose end counts.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return bind
