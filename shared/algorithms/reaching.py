"""Telling a storage that cannot be reached from an artefact that is wrong, and asking again for a while."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.algorithms.artefacts import ArtefactError

FIRST_S, LONGEST_S = 0.5, 60.0
"""Pauses before further attempts: the first, doubled each time up to the longest."""
_LASTING = (ArtefactError, FileNotFoundError, NotADirectoryError, IsADirectoryError, ImportError)


class Unreachable(Exception):
    """A storage that did not answer, or not to us: worth another attempt."""


def lasting(error: Exception) -> bool:
    """Whether another attempt would end the same: the artefact is wrong or missing, or a library is.

    Storages of all kinds raise classes of their own, so whatever is not known counts as the storage's fault.
    """
    return isinstance(error, _LASTING)


def described(address: str, error: Exception) -> str:
    """What is said of a storage that could not be reached."""
    return f"the storage could not be reached: {address}: {type(error).__name__}: {error}"


def wrong(address: str, error: Exception) -> str:
    """What is said of an error that lasts."""
    if isinstance(error, ArtefactError):
        return str(error)
    return f"{address}: missing: {error}" if isinstance(error, OSError) else f"{address}: {error}"


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Raise Unreachable instead of what a storage raises; what lasts is raised as it is."""
    try:
        yield
    except Exception as error:
        if lasting(error):
            raise
        raise Unreachable(described(address, error)) from error


class Attempts:
    """Attempts within a time that begins now; `clock` in seconds."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._began, self._limit_s, self._clock = clock(), limit_s, clock
        self._next_s = FIRST_S
        self.failed = 0
        """How many have failed."""

    def pause(self) -> float | None:
        """Seconds to wait after an attempt that failed; None once the time is over.

        The last attempt is made when the time ends, so even the shortest time has two.
        """
        self.failed += 1
        left = self._began + self._limit_s - self._clock()
        if left <= 0:
            return None
        wait = min(self._next_s, left)
        self._next_s = min(2 * self._next_s, LONGEST_S)
        return wait

    def told(self, problem: str) -> str:
        """The problem, with how often and how long was tried."""
        taken = self._clock() - self._began
        return f"{problem} ({self.failed} attempts in {taken:.0f} s)"
