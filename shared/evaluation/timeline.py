"""The course of a log, in at most 64 stretches of equally many decisions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.log import Logged

STRETCHES = 64

_COLUMNS: dict[str, Callable[[Logged], Floats]] = {
    "rows": lambda log: np.ones(len(log)),
    "reward": lambda log: log.reward,
    "weight": lambda log: log.weight,
    "squared weight": lambda log: np.square(log.weight),
    "weighted reward": lambda log: log.weight * log.reward,
}


class Timeline:
    """Sums over stretches. How long the log is turns out at its end, so stretches double as it grows."""

    def __init__(self) -> None:
        self.length = 1
        """Decisions in a stretch; the last one may have fewer."""
        self._sums = {name: np.zeros(STRETCHES) for name in _COLUMNS}
        self._rows = 0

    def add(self, log: Logged) -> None:
        """Take the log's next chunk."""
        while self._rows + len(log) > STRETCHES * self.length:
            self._double()
        place = (self._rows + np.arange(len(log))) // self.length
        for name, column in _COLUMNS.items():
            self._sums[name] += np.bincount(place, column(log), minlength=STRETCHES)
        self._rows += len(log)

    def column(self, name: str) -> Floats:
        """Return the sums of stretches, without a last one that is less than half full."""
        return self._sums[name][: max(1, round(self._rows / self.length))]

    def _double(self) -> None:
        self.length *= 2
        for name, sums in self._sums.items():
            pairs = sums.reshape(-1, 2).sum(axis=1)
            self._sums[name] = np.concatenate([pairs, np.zeros(STRETCHES - len(pairs))])
