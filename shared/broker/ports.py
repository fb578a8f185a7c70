"""Loopback ports: refusing those that are taken, finding some that are free."""

from __future__ import annotations

import errno
import socket

import psutil

from shared.broker.readiness import BrokerError

FIRST, LAST = 20_000, 32_000
"""Where free blocks are looked for: below the range from which Linux hands out ephemeral ports."""


class PortTaken(BrokerError):
    """Another process listens on a port that the embedded broker needs."""


def check_free(host: str, *ports: int) -> None:
    """Raise PortTaken, naming the port and who holds it, unless all `ports` of `host` can be bound."""
    for port in ports:
        if not _is_free(host, port):
            raise PortTaken(
                f"port {port} is taken{_holder(port)}. Stop that process, choose other ports (--port-base), "
                "or use the Kafka that runs there with STREAMWHEEL_BROKER=host:port."
            )


def free_block(host: str, size: int, start: int = FIRST) -> int:
    """The first of `size` consecutive free ports, at or above `start`. Raises PortTaken if there is none."""
    for first in range(start, LAST, size):
        if all(_is_free(host, port) for port in range(first, first + size)):
            return first
    raise PortTaken(f"there are no {size} free ports in a row between {start} and {LAST}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:  # other users' processes are not ours to see
        pass
    return ""
