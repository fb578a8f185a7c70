"""What one arm of a rollout earned: sums that corrections change exactly, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats

BUCKETS = 4096
"""Subjects are summed into so many groups by a hash. Decisions of one subject are not independent of one
another, groups are, so variances come from the groups: right however often a subject comes back, in memory
that does not grow with their number."""
Integers = NDArray[np.int64]
Values = Sequence[float | None]
"""One number for each metric, None where a reward has no such component."""


def bucket(subject: str) -> int:
    """Return the group of a subject; it says nothing of the subject's arm."""
    return int.from_bytes(blake2b(subject.encode(), digest_size=2).digest(), "big") % BUCKETS


@dataclass(frozen=True)
class Mean:
    """A mean reward (or another metric), how many values it is of, and the variance of the mean itself."""

    value: float
    variance: float
    count: float
    groups: int
    """Groups of subjects that it rests on."""


class Arm:
    """Sums of m metrics by group of subjects."""

    def __init__(self, metrics: int) -> None:
        self.decisions: Floats = np.zeros(BUCKETS)
        """(4096,) decisions of each group."""
        self._counts: Floats = np.zeros((metrics, BUCKETS))
        self._sums: Floats = np.zeros((metrics, BUCKETS))

    @property
    def count(self) -> int:
        """Decisions."""
        return int(self.decisions.sum())

    def add(self, group: int, values: Values) -> None:
        """Count one more decision of a group."""
        self.decisions[group] += 1
        self._put(group, values, 1.0)

    def add_all(self, groups: Integers, values: Floats) -> None:
        """Count n more decisions: groups (n,), values (n, m), all there."""
        counts = np.bincount(groups, minlength=BUCKETS)
        self.decisions += counts
        for metric, column in enumerate(values.T):
            self._counts[metric] += counts
            self._sums[metric] += np.bincount(groups, column, BUCKETS)

    def replace(self, group: int, old: Values, new: Values) -> None:
        """Put new values of a decision in place of those it was counted with."""
        self._put(group, old, -1.0)
        self._put(group, new, 1.0)

    def correct(self, group: int, metric: int, difference: float) -> None:
        """Change the sum of one metric."""
        self._sums[metric, group] += difference

    def mean(self, metric: int) -> Mean | None:
        """Return the mean of a metric; None without a value.

        It is a ratio of sums over groups; its variance is that of the delta method (Cochran 1977, equation
        6.13), infinite for a single group.
        """
        counts, sums = self._counts[metric], self._sums[metric]
        total, groups = counts.sum(), int(np.count_nonzero(counts))
        if not total:
            return None
        value = sums.sum() / total
        spread = float(((sums - value * counts) ** 2).sum()) / total**2
        variance = spread * groups / (groups - 1) if groups > 1 else float("inf")
        return Mean(float(value), variance, float(total), groups)

    def _put(self, group: int, values: Values, sign: float) -> None:
        for metric, value in enumerate(values):
            if value is not None:
                self._counts[metric, group] += sign
                self._sums[metric, group] += sign * value
