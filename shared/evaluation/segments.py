"""Estimates for parts of a log, by the names in its column `segment`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.log import Logged

MOST = 40
"""Segments told apart; later ones are counted together."""
OTHERS = "(others)"


@dataclass(frozen=True)
class Segment:
    """The self-normalised estimate of one segment, with a normal interval."""

    name: str
    rows: int
    logged: float
    """Mean logged reward."""
    value: float
    interval: Interval


class Segments:
    """Moments of each segment's weights and rewards."""

    def __init__(self) -> None:
        self._sums: dict[str, Floats] = {}

    def add(self, log: Logged, names: Sequence[str]) -> None:
        """Take a chunk and its rows' segments."""
        known, place = np.unique(np.asarray(names), return_inverse=True)
        w, r = log.weight, log.reward
        columns = (np.ones(len(log)), r, w, w * r, w * w, w * w * r, w * w * r * r)
        sums = np.stack([np.bincount(place, column) for column in columns], axis=1)
        for name, row in zip(known.tolist(), sums, strict=True):
            if name not in self._sums and len(self._sums) >= MOST:
                name = OTHERS
            self._sums[name] = self._sums.get(name, np.zeros(len(columns))) + row

    def estimates(self, alpha: float) -> Iterator[Segment]:
        """Yield the segments, largest first; one without weight has no estimate and is left out."""
        z = NormalDist().inv_cdf(1 - alpha / 2)
        for name, sums in sorted(self._sums.items(), key=lambda item: (-item[1][0], item[0])):
            rows, reward, w, wr, ww, wwr, wwrr = sums.tolist()
            if w > 0:
                value = wr / w
                half = z * max(0.0, wwrr - 2 * value * wwr + value**2 * ww) ** 0.5 / w
                yield Segment(name, int(rows), reward / rows, value, Interval(value - half, value + half))
