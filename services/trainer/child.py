"""A training process as the trainer sees it: started, watched, limited, ended."""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from services.trainer.orders import SAID, Orders, Outcome, Progress, from_line

TAIL_CHARACTERS = 2_000
"""Of a crashed training's log, as the reason."""
STOP_S = 10.0


@dataclass(frozen=True)
class Crash:
    """It ended without saying how it went."""

    reason: str


@dataclass(frozen=True)
class Limit:
    """It was ended for going beyond a limit; another attempt would do the same."""

    reason: str


class Child:
    """One process in a session of its own, so that its own children end with it. Raises OSError."""

    def __init__(self, command: Sequence[str], orders: Orders, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.progress = Progress()
        self._outcome: Outcome | None = None
        self._log = folder / "training.log"
        path = folder / "orders.json"
        orders.write(path)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Of the process and its group."""
        return self._process.pid

    def ended(self) -> Outcome | Crash | None:
        """How it went; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        self.kill()  # what it may have left running
        if code == SAID and self._outcome is not None:
            return self._outcome
        return Crash(f"the training process ended with {_outcome(code)}: {self._tail()}")

    def memory(self) -> int:
        """Resident bytes of the process and its descendants."""
        try:
            process = psutil.Process(self.pid)
            return sum(_resident(each) for each in [process, *process.children(recursive=True)])
        except psutil.NoSuchProcess:
            return 0

    def kill(self) -> None:
        """End the process and all that it started, at once; may be called twice."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join(STOP_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                said = from_line(line)
            except ValueError:
                with self._log.open("a") as log:
                    log.write(line)
                continue
            if isinstance(said, Progress):
                self.progress = said
            else:
                self._outcome = said

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-TAIL_CHARACTERS:].strip()


def _outcome(code: int) -> str:
    return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
