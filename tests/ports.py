"""Ports that no other test process on this machine is handed."""

import atexit
import socket

from shared.broker.node_files import HOST
from shared.broker.ports import FIRST, LAST, PortTaken, free_block

LANE = 300
"""Ports of a process; the first of them is held while the process lives, so that the lane is its own."""


class Lane:
    """A stretch of ports, handed out in turn."""

    def __init__(self) -> None:
        self._held, self._first = _held()
        self._next = self._first + 1

    def take(self, size: int) -> int:
        """The first of `size` free ports in a row. Raises PortTaken when the whole lane is taken."""
        for start in (self._next, self._first + 1):
            port = free_block(HOST, size, start)
            if port + size <= self._first + LANE:
                self._next = port + size
                return port
        raise PortTaken(f"no {size} free ports in a row from {self._first} on")


def _held() -> tuple[socket.socket, int]:
    # `streamwheel up` looks for its ports in the lower half.
    for first in range((FIRST + LAST) // 2, LAST, LANE):
        held = socket.socket()
        try:
            held.bind((HOST, first))
        except OSError:
            held.close()
        else:
            atexit.register(held.close)
            return held, first
    raise PortTaken("every lane is some test process's")


def own_ports(size: int = 1) -> int:
    """The first of `size` free ports in a row, of this process's lane."""
    return _LANE.take(size)


_LANE = Lane()
