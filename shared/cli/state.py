"""The state folder of a loop: who runs, where their logs and data are, and the lock of its supervisor."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import psutil

CLOCK_TOLERANCE_S = 2.0
"""How far the kernel's start time of a process may lie behind the clock that stamps files."""


class AlreadyRunning(RuntimeError):
    """Another supervisor holds this state folder."""


class StateFolder:
    """`run/` has pid files and `loop.json`, `logs/` a log for each process, and each process has a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.run, self.logs = self.path / "run", self.path / "logs"

    def data(self, name: str) -> Path:
        """Where the process keeps its files."""
        return self.path / name

    def log(self, name: str) -> Path:
        """What the process prints."""
        return self.logs / f"{name}.log"

    def secret(self, name: str) -> str:
        """A random secret of this loop, drawn when it is first asked for. Raises OSError."""
        path = self.path / f"{name}.secret"
        if not path.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(f".{os.getpid()}")
            with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(token_hex(32))
            scratch.replace(path)
        return path.read_text()

    def create(self) -> None:
        """Make the folders. Raises OSError."""
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this supervisor. Raises `AlreadyRunning`.

        The kernel gives the lock back when the process ends, however it ends.
        """
        self.create()
        with self._lock_file.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunning(
                    f"Streamwheel runs in {self.path} already. Stop it with "
                    f"`streamwheel down --state {self.path}`, or choose another --state and --port-base."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                yield
            finally:
                self.describe(None)
                lock.truncate(0)

    def supervisor(self) -> int | None:
        """The pid of the supervisor that holds this folder, None without one."""
        if not self._lock_file.exists():
            return None
        with self._lock_file.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
            return None

    def describe(self, document: Mapping[str, Any] | None) -> None:
        """Write (or with None remove) what `description` returns, whole or not at all."""
        if document is None:
            self._description.unlink(missing_ok=True)
            return
        scratch = self._description.with_suffix(".new")
        scratch.write_text(json.dumps(document))
        scratch.replace(self._description)

    def description(self) -> dict[str, Any] | None:
        """What the supervisor says of its loop: port base, broker, restarts."""
        try:
            document: dict[str, Any] = json.loads(self._description.read_text())
        except FileNotFoundError:
            return None
        return document

    def record(self, name: str, pid: int | None) -> None:
        """Write the pid file of a process, or with None remove it."""
        path = self.run / f"{name}.pid"
        if pid is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(f"{pid}\n")

    def recorded(self) -> dict[str, psutil.Process]:
        """The processes of the pid files that still run, by name; a pid that has passed on does not count."""
        found = {}
        for path in sorted(self.run.glob("*.pid")):
            process = _same(path)
            if process is not None:
                found[path.stem] = process
        return found

    @property
    def _lock_file(self) -> Path:
        return self.run / "supervisor.lock"

    @property
    def _description(self) -> Path:
        return self.run / "loop.json"


def _same(path: Path) -> psutil.Process | None:
    """The process of a pid file, if it is not younger than the file."""
    try:
        process = psutil.Process(int(path.read_text()))
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process if process.create_time() <= path.stat().st_mtime + CLOCK_TOLERANCE_S else None
    except (psutil.Error, ValueError, FileNotFoundError):
        return None
