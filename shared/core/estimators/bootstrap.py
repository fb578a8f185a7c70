"""Bootstrap intervals of any statistic of sums over units."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from shared.core.arrays import Floats

Columns = Mapping[str, Floats]
Statistic = Callable[[Columns], Floats]
"""Sums by name → the statistic, element by element: every resample is renormalised by its own sums."""

METHODS = ("percentile", "bca")
BATCH = 64
"""Resamples made at once: bounds memory at a few megabytes."""


@dataclass(frozen=True)
class Interval:
    """Where a quantity lies."""

    low: float
    high: float

    def around(self, value: float, factor: float) -> "Interval":
        """Return the interval with each end `factor` times as far from a value."""
        if factor == 1.0:
            return self
        return Interval(value - factor * (value - self.low), value + factor * (self.high - value))


UNDEFINED = Interval(float("nan"), float("nan"))


class Bootstrap:
    """Resamples of units (Efron 1979), drawn once and shared by all statistics, so that differences between
    them are paired.

    Args:
        units: (m,) sums of each unit by name.
        resamples: number of resamples.
        seed: of the draws; the same bits on every version of numpy.
        method: percentile, or bca (bias-corrected and accelerated, Efron 1987).
    """

    def __init__(self, units: Columns, *, resamples: int, seed: int, method: str = "percentile") -> None:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")
        self._method = method
        self._units = units
        names, matrix = list(units), np.stack(list(units.values()), axis=1)
        self._totals = {name: np.asarray(units[name].sum()) for name in names}
        drawn = _resample(matrix, resamples, seed)
        self._drawn = {name: drawn[:, place] for place, name in enumerate(names)}

    def value(self, statistic: Statistic) -> float:
        """Return the statistic of all units; NaN where it is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(statistic(self._totals))

    def interval(self, statistic: Statistic, alpha: float) -> Interval:
        """Return the two-sided interval of level 1 - alpha; NaN where the statistic is not defined."""
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = statistic(self._drawn)
        drawn = np.sort(drawn[np.isfinite(drawn)])
        if not len(drawn) or not np.isfinite(self.value(statistic)):
            return UNDEFINED
        shares = (alpha / 2, 1 - alpha / 2)
        if self._method == "bca":
            shares = self._corrected(statistic, drawn, shares)
        low, high = np.quantile(drawn, shares)
        return Interval(float(low), float(high))

    def deviations(self, statistic: Statistic) -> Floats:
        """(m,) how far each unit moves the statistic: the whole minus the rest, times m - 1 (jackknife)."""
        rest = {name: self._totals[name] - each for name, each in self._units.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            left_out = statistic(rest)
        return np.asarray((len(left_out) - 1) * (self.value(statistic) - left_out))

    def _corrected(
        self, statistic: Statistic, drawn: Floats, shares: tuple[float, float]
    ) -> tuple[float, float]:
        normal, value = NormalDist(), self.value(statistic)
        below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
        moved = self.deviations(statistic)
        moved = moved - moved.mean()
        spread = float((moved**2).sum())
        if not 0 < below < 1 or not np.isfinite(spread) or spread == 0:
            return shares
        bias, acceleration = normal.inv_cdf(float(below)), float((moved**3).sum()) / (6 * spread**1.5)

        def corrected(share: float) -> float:
            z = bias + normal.inv_cdf(share)
            return normal.cdf(bias + z / (1 - acceleration * z))

        return corrected(shares[0]), corrected(shares[1])


def _resample(matrix: Floats, resamples: int, seed: int) -> Floats:
    """(m, columns) to (resamples, columns): sums over m units drawn with replacement."""
    count = len(matrix)
    if not count:
        raise ValueError("there is nothing to resample")
    # Raw bits, because numpy keeps their stream over versions, unlike that of its distributions.
    generator = np.random.Philox(key=seed)
    drawn = np.empty((resamples, matrix.shape[1]))
    for start in range(0, resamples, BATCH):
        size = min(BATCH, resamples - start)
        drawn[start : start + size] = _multiplicities(generator, size, count) @ matrix
    return drawn


def _multiplicities(generator: np.random.Philox, size: int, count: int) -> Floats:
    """(size, count): how often each unit was drawn, count draws in each row."""
    pairs = -(-size * count // 2)
    # Each 64-bit word gives two draws; the high half of a product maps 32 bits onto 0 ... count - 1.
    halves = generator.random_raw(pairs).view(np.uint32)[: size * count].astype(np.uint64)
    places = ((halves * np.uint64(count)) >> np.uint64(32)).astype(np.int64).reshape(size, count)
    places += np.arange(size)[:, None] * count
    return np.bincount(places.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
