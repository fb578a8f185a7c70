"""What every estimator is: per unit a numerator and a denominator, whose sums' ratio is the estimate.

A ratio of sums can be summed over chunks and machines, renormalised in every bootstrap resample, and
linearised for its variance. An estimator therefore says only what one decision, or one trajectory, adds.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.core.arrays import Floats

Log = TypeVar("Log", contravariant=True)


@dataclass(frozen=True)
class Terms:
    """What n units add to an estimate: sum(numerator) / sum(denominator)."""

    numerator: Floats
    """(n,) float64."""
    denominator: Floats | None = None
    """(n,) float64; None is one for each unit, so that the estimate is a mean."""

    @property
    def value(self) -> float:
        """The estimate from these units; NaN where the denominators sum to zero."""
        total = len(self.numerator) if self.denominator is None else float(self.denominator.sum())
        return float(self.numerator.sum()) / total if total else float("nan")


class Estimator(Protocol[Log]):
    """An off-policy estimator of the target policy's mean reward (sequences: mean discounted return)."""

    @property
    def name(self) -> str:
        """Name in results; members of a family that differ in a parameter share it."""

    @property
    def parameter(self) -> float | None:
        """What a family's members differ in; `tuning` chooses among them from the data. None: alone."""

    @property
    def models_rewards(self) -> bool:
        """Whether it needs predictions of a reward model beside propensities."""

    def terms(self, log: Log) -> Terms:
        """Return what each unit of the log adds. Raises ValueError if a column that it needs is missing."""


def estimate(estimator: Estimator[Log], log: Log) -> float:
    """Return the estimate from one log that fits in memory."""
    return estimator.terms(log).value
