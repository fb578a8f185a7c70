"""Running an ASGI application: as a process of its own, or inside a worker's event loop."""

import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from signal import SIGINT, SIGTERM

import uvicorn
from starlette.types import ASGIApp

from shared.http.keys import BindingRefused, check_binding

#: Seconds that requests in flight are given to end when the process stops.
GRACE = 10
#: Connections that may wait to be accepted.
BACKLOG = 2048
#: Seconds that an idle connection is kept open, above the 60 s of common load balancers.
KEEP_ALIVE = 75


@contextmanager
def listen(host: str, port: int, keys: Sequence[str] = ()) -> Iterator[socket.socket]:
    """A listening socket (port 0: any free one), closed at the end.

    Raises `BindingRefused` where `host` is not loopback and there are no `keys`, OSError for a port in use.
    """
    check_binding(host, keys)
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
        found.setblocking(False)
        yield found


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )


class EmbeddedServer(uvicorn.Server):
    """A server inside another program's event loop: signals stay that program's business."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(_config(app))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers as they are."""
        yield


class ProcessServer(uvicorn.Server):
    """A server that is a process: SIGINT and SIGTERM end it in order, and it then exits as any program does.

    Uvicorn's own raises the signal once more, so that a stop that was asked for looks like a kill.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on the first signal, at once on a second SIGINT."""
        before = {number: signal.signal(number, self.handle_exit) for number in (SIGINT, SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run(app: ASGIApp, host: str, port: int, keys: Sequence[str] = ()) -> int:
    """Serve until SIGINT or SIGTERM; the exit status: 0, 1 if it could not start, 2 for a refused address."""
    try:
        with listen(host, port, keys) as found:
            server = ProcessServer(_config(app))
            server.run([found])
            return 0 if server.started else 1
    except BindingRefused as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        print(f"cannot listen on {host}:{port}: {error}", file=sys.stderr)  # noqa: T201
        return 1
