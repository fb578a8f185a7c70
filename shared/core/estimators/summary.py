"""Everything an evaluation needs to know of a log, gathered in one pass and constant memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.contract import Estimator
from shared.core.estimators.log import Logged
from shared.core.estimators.units import Units
from shared.core.estimators.weights import Weights

REWARD, WEIGHT, BASELINE_WEIGHT = "reward", "weight", "baseline weight"


def numerator(estimator: Estimator[Logged]) -> str:
    """Name of the column that sums an estimator's numerators."""
    return f"numerator {estimator.name} {estimator.parameter}"


def denominator(estimator: Estimator[Logged]) -> str:
    """Name of the column that sums an estimator's denominators."""
    return f"denominator {estimator.name} {estimator.parameter}"


def metric_column(metric: str, under: str) -> str:
    """Name of the column that sums a metric `under` a policy: logged, target or baseline."""
    return f"metric {metric} {under}"


@dataclass
class Range:
    """Moments and extremes of a column's values."""

    squares: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, values: Floats) -> None:
        """Take n more values."""
        self.squares += float(values @ values)
        self.low = min(self.low, float(values.min(initial=np.inf)))
        self.high = max(self.high, float(values.max(initial=-np.inf)))

    def merge(self, other: Self) -> None:
        """Add another part of the log."""
        self.squares += other.squares
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


class Summary:
    """Sums over units and moments of the weights, for a fixed set of estimators and metrics.

    Args:
        estimators: what to estimate with, see `registry`.
        metrics: names of guarded metrics beside the reward.
        baseline: whether logs bring a baseline policy's propensities.
        clustered: whether logs bring subjects.
        seed: of the hash that pools subjects.
    """

    def __init__(
        self,
        estimators: Iterable[Estimator[Logged]],
        *,
        metrics: Sequence[str] = (),
        baseline: bool = False,
        clustered: bool = False,
        seed: int = 0,
    ) -> None:
        self.estimators = tuple(estimators)
        self.metrics = tuple(metrics)
        self.baseline, self.clustered = baseline, clustered
        self.weights, self.baseline_weights = Weights(), Weights()
        self.ranges = {numerator(each): Range() for each in self.estimators}
        self.rows = 0
        self._seed = seed
        self.units = Units((), seed=seed)

    def add(self, log: Logged) -> None:
        """Take a chunk, in the log's order. Raises ValueError if it lacks a column of the others."""
        if (log.baseline_propensity is not None) != self.baseline:
            raise ValueError("a chunk must bring the baseline's propensities exactly if the others do")
        if (log.cluster is not None) != self.clustered:
            raise ValueError("a chunk must bring subjects exactly if the others do")
        self.weights.add(log.weight, log.moments)
        columns = {REWARD: log.reward, WEIGHT: log.weight, **self._terms(log)}
        for metric in self.metrics:
            columns[metric_column(metric, "logged")] = log.metrics[metric]
            columns[metric_column(metric, "target")] = log.weight * log.metrics[metric]
        if log.baseline_propensity is not None:
            weight = log.baseline_propensity / log.propensity
            self.baseline_weights.add(weight)
            columns[BASELINE_WEIGHT] = weight
            for metric, values in {REWARD: log.reward, **log.metrics}.items():
                columns[metric_column(metric, "baseline")] = weight * values
        if not self.units.sums:
            self.units = Units(columns, seed=self._seed)
        self.units.add(columns, log.cluster)
        self.rows += len(log)

    def merge(self, other: Self) -> None:
        """Add another part of the log, gathered with the same arguments."""
        self.weights.merge(other.weights)
        self.baseline_weights.merge(other.baseline_weights)
        for name, seen in other.ranges.items():
            self.ranges[name].merge(seen)
        if not self.units.sums:
            self.units = Units(other.units.sums, seed=self._seed)
        self.units.merge(other.units)
        self.rows += other.rows

    def _terms(self, log: Logged) -> dict[str, Floats]:
        columns = {}
        for each in self.estimators:
            terms = each.terms(log)
            columns[numerator(each)] = terms.numerator
            self.ranges[numerator(each)].add(terms.numerator)
            if terms.denominator is not None:
                columns[denominator(each)] = terms.denominator
        return columns
