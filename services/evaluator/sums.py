"""What followed decisions leave behind: sums, however many they were."""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """The row of `Sums.values` for a metric as logged; 0 is the reward."""
    return 2 + 2 * metric


def weighted(metric: int) -> int:
    """The row for the metric times its decision's weight."""
    return 3 + 2 * metric


def unit_of(subjects: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) the group of each subject's hash."""
    return (mix(subjects) % np.uint64(UNITS)).astype(np.int64)


@dataclass(eq=False)
class Sums:
    """Sums of decisions by group: their number, weights, and m metrics as logged and weighted."""

    values: Floats
    """(2 + 2 m, UNITS)."""
    weights: Weights = field(default_factory=Weights)

    @classmethod
    def empty(cls, metrics: int) -> Self:
        """Of no decisions."""
        return cls(np.zeros((2 + 2 * metrics, UNITS)))

    @property
    def decisions(self) -> int:
        """How many decisions were added."""
        return self.weights.count

    def add(self, unit: NDArray[np.int64], weight: Floats, metrics: Sequence[Floats]) -> None:
        """Add n decisions: their groups, weights and metrics."""
        self.weights.add(weight)
        self._to(ROWS, unit, np.ones(len(unit)))
        self._to(WEIGHT, unit, weight)
        self.change(unit, weight, metrics)

    def change(self, unit: NDArray[np.int64], weight: Floats, differences: Sequence[Floats]) -> None:
        """Add to the metrics of n decisions that are in it."""
        for number, values in enumerate(differences):
            self._to(logged(number), unit, values)
            self._to(weighted(number), unit, weight * values)

    def merge(self, other: Self) -> None:
        """Add all of another's decisions."""
        self.values += other.values
        self.weights.merge(other.weights)

    def _to(self, row: int, unit: NDArray[np.int64], values: Floats) -> None:
        self.values[row] += np.bincount(unit, values, minlength=UNITS)
