"""Ends processes that run and do not live: a supervisor then starts them again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread

import httpx

from shared.cli.children import Child

ASK_EVERY_S = 5.0
ANSWER_S = 2.0
PATIENCE_S = 60.0
"""How long a service may go without saying that it lives. Loops of its own are late for longer than theirs
before it says so itself."""


class Watchdog:
    """Asks services for /healthz. Who has been alive once and is not for `patience_s` is killed."""

    def __init__(
        self,
        children: Sequence[Child],
        report: Callable[[str], None],
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._children = [child for child in children if child.spec.url]
        self._report, self._patience_s, self._clock = report, patience_s, clock
        self._http = httpx.Client(timeout=ANSWER_S)  # one: making it takes longer than asking
        self._alive: dict[int, float] = {}
        """When each process, by pid, was last alive."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look every ASK_EVERY_S while the context is open."""
        over = Event()

        def watch() -> None:
            while not over.wait(ASK_EVERY_S):
                self.look()

        thread = Thread(target=watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._http.close()

    def look(self) -> None:
        """Ask each once, and kill those whose time is over."""
        for child in self._children:
            pid = child.pid
            if pid is None:
                continue
            problem = self._problem(f"{child.spec.url}/healthz")
            if problem is None:
                self._alive[pid] = self._clock()
            elif pid in self._alive and self._clock() - self._alive[pid] > self._patience_s:
                del self._alive[pid]
                self._report(f"{child.spec.name} (pid {pid}) does not live, and is killed: {problem}")
                if child.pid == pid:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def _problem(self, url: str) -> str | None:
        try:
            answer = self._http.get(url)
        except httpx.HTTPError as error:
            return f"{url}: {error}"
        return None if answer.status_code == httpx.codes.OK else f"{url}: {answer.text[:500]}"
