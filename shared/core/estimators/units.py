"""Sums of columns over resampling units: what a log leaves behind, however long it was.

A unit is a decision, or a subject with all its decisions. Beyond `UNITS` of them, units are pooled into that
many groups, in turn (decisions) or by hash (subjects, whose rows may lie anywhere). Groups of exchangeable
units are exchangeable themselves, so that resampling groups estimates the same variance and skewness as
resampling units, with a relative error of sqrt(1 / (2 UNITS)) = 0.6 % in an interval's width; up to that many
decisions it is resampling the decisions themselves. Unlike a Poisson bootstrap, which draws a multiplicity
for each row and resample, this costs one addition a row, and sums of chunks, machines and days just add up.
"""

from collections.abc import Iterable, Mapping
from typing import Self

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.hashing import Hashes, mix

UNITS = 16_381
"""A prime: decisions taken in turn must not fall into step with a log's own period (positions, hours)."""


class Units:
    """Named columns, each summed per unit; rows without a subject are units of their own."""

    def __init__(self, names: Iterable[str], *, seed: int = 0) -> None:
        self.sums: dict[str, Floats] = {name: np.zeros(UNITS) for name in names}
        self.rows = np.zeros(UNITS)
        self._seed = seed
        self._next = 0

    def add(self, columns: Mapping[str, Floats], cluster: Hashes | None = None) -> None:
        """Add n rows: columns of shape (n,), and the hash of each row's subject if it has one."""
        n = len(next(iter(columns.values())))
        if cluster is None:
            self.rows += self._in_turn(np.ones(n))
            for name, values in columns.items():
                self.sums[name] += self._in_turn(values)
            self._next = (self._next + n) % UNITS
            return
        unit = (mix(cluster, self._seed) % np.uint64(UNITS)).astype(np.int64)
        self.rows += np.bincount(unit, minlength=UNITS)
        for name, values in columns.items():
            self.sums[name] += np.bincount(unit, values, minlength=UNITS)

    def merge(self, other: Self) -> None:
        """Add what another part of the log left behind; the order of parts does not matter."""
        self.rows += other.rows
        for name, values in other.sums.items():
            self.sums[name] += values

    def columns(self) -> dict[str, Floats]:
        """Return the sums of units that have rows, and their number as `rows`."""
        present = self.rows > 0
        return {"rows": self.rows[present], **{name: each[present] for name, each in self.sums.items()}}

    def _in_turn(self, values: Floats) -> Floats:
        end = self._next + len(values)
        padded = np.zeros(-(-end // UNITS) * UNITS)
        padded[self._next : end] = values
        return np.asarray(padded.reshape(-1, UNITS).sum(axis=0))
