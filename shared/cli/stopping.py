"""Stopping a loop from another process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from shared.cli.children import STOP_S
from shared.cli.state import StateFolder

SUPERVISOR_STOP_S = 6 * STOP_S
"""Several processes, one after the other, and some more."""
LOOK_EVERY_S = 0.05


def stop(folder: StateFolder) -> bool:
    """Stop the supervisor, which stops its processes; whether there was anything to stop.

    Processes that a killed supervisor left behind (where the kernel does not end them) are stopped as well.
    """
    supervisor = folder.supervisor()
    if supervisor is not None:
        _signal(psutil.Process(supervisor), signal.SIGTERM)
        # Its lock tells: a supervisor that nobody waits for stays in the process table when it is gone.
        if not _within(SUPERVISOR_STOP_S, lambda: folder.supervisor() is None):
            _signal(psutil.Process(supervisor), signal.SIGKILL)
    left = folder.recorded()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in folder.recorded().values():
            _signal(process, number)
        if _within(STOP_S, lambda: not folder.recorded()):
            break
    for name in left:
        folder.record(name, None)
    return supervisor is not None or bool(left)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _within(limit_s: float, condition: Callable[[], bool]) -> bool:
    """Whether `condition` came true within `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
