"""What followed decisions leave behind: sums, however many they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats
from shared.core.estimators.hashing import mix
from shared.core.estimators.weights import Weights

UNITS = 1_021
"""Groups of subjects, told apart by hash: an interval's width is then off by sqrt(1 / (2 UNITS)) = 2.2 %; see
`shared.core.estimators.units`. A prime."""
ROWS, WEIGHT = 0, 1


def logged(metric: int) -> int:
    """The row of `Sums.under` for a metric as logged; 0 is the reward."""
    return 2 + 2 * metric


def weighted(metric: int) -> int:
    """The row for the metric times its decision's weight."""
    return 3 + 2 * metric


def unit_of(subjects: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) the group of each subject's hash."""
    return (mix(subjects) % np.uint64(UNITS)).astype(np.int64)


@dataclass(eq=False)
class Sums:
    """Sums of decisions by group: their number and m metrics as logged, and for each of k ways to weigh them
    their weights and the weighted metrics."""

    values: Floats
    """((1 + k) (1 + m), UNITS)."""
    weights: list[Weights]
    """k of them."""

    @classmethod
    def empty(cls, metrics: int, ways: int = 1) -> Self:
        """Of no decisions."""
        return cls(np.zeros(((1 + ways) * (1 + metrics), UNITS)), [Weights() for _ in range(ways)])

    @property
    def decisions(self) -> int:
        """How many decisions were added."""
        return self.weights[0].count

    def under(self, way: int = 0) -> Floats:
        """What `ROWS`, `WEIGHT`, `logged` and `weighted` are rows of, in groups that have decisions."""
        size = len(self.values) // (1 + len(self.weights))
        parts = self.values[:size], self.values[(1 + way) * size : (2 + way) * size]
        found = np.stack(parts, axis=1).reshape(2 * size, -1)
        return np.asarray(found[:, found[ROWS] > 0])

    def add(
        self,
        unit: NDArray[np.int64],
        weights: Floats,
        metrics: Sequence[Floats],
        moments: Floats | None = None,
    ) -> None:
        """Add n decisions: their groups, their weights (k, n), metrics, and what was to be expected of the
        first weights (2, n)."""
        ones = np.ones(len(unit))
        for way, (mine, weight) in enumerate(zip(self.weights, weights, strict=True)):
            mine.add(weight, None if way else moments)
        self._add(unit, weights, [ones, *metrics])

    def change(self, unit: NDArray[np.int64], weights: Floats, differences: Sequence[Floats]) -> None:
        """Add to the metrics of n decisions that are in it."""
        self._add(unit, weights, [np.zeros(len(unit)), *differences])

    def merge(self, other: Self) -> None:
        """Add all of another's decisions."""
        self.values += other.values
        for mine, theirs in zip(self.weights, other.weights, strict=True):
            mine.merge(theirs)

    def _add(self, unit: NDArray[np.int64], weights: Floats, columns: Sequence[Floats]) -> None:
        each = [*columns, *(weight * column for weight in weights for column in columns)]
        for row, values in enumerate(each):
            self.values[row] += np.bincount(unit, values, minlength=UNITS)
