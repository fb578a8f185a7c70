"""Artefacts at addresses that are no folders: a web server, which may take its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.waiting import LIMIT


class Storage:
    """Serves a folder; what is asked for beside manifests waits until `open` is set.

    While `fails` is a status, that is the reply to everything; while it is 0, connections are closed without
    any.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.open, self.asked = folder, Event(), Event()
        self.fails: int | None = None
        self.failed = 0
        """How many requests have."""
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, storage=self))

    def address(self, artefact_id: str) -> str:
        """Where an artefact lies."""
        return f"http://127.0.0.1:{self._server.server_port}/{artefact_id}"

    @contextmanager
    def serving(self) -> Iterator["Storage"]:
        """While the context is open."""
        thread = Thread(target=self._server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield self
        finally:
            self.open.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, storage: Storage) -> None:
        self._storage = storage
        super().__init__(*arguments, directory=str(storage.folder))

    def do_HEAD(self) -> None:
        if not self._fails():
            super().do_HEAD()

    def do_GET(self) -> None:
        if self._fails():
            return
        if not self.path.endswith("manifest.json"):
            self._storage.asked.set()
            self._storage.open.wait(LIMIT)
        super().do_GET()

    def _fails(self) -> bool:
        status = self._storage.fails
        if status is None:
            return False
        self._storage.failed += 1
        self.close_connection = True
        if status:
            self.send_error(status)
        return True

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""
