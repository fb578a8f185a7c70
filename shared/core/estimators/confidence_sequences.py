"""Confidence sequences: intervals that hold at all times at once, so that looking always is allowed."""

import math
from dataclasses import dataclass

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Interval


def asymptotic_half_width(variance: float, count: float, alpha: float, tuned_at: float) -> float:
    """Return half the width of an asymptotic confidence sequence for a mean (Waudby-Smith, Arbour, Sinha,
    Kennedy and Ramdas 2021, equation 2).

    Args:
        variance: of one value.
        count: values so far; the approximation asks for some tens of them before the first look.
        alpha: chance of ever missing the mean.
        tuned_at: number of values at which the sequence is to be tightest.
    """
    if count <= 0:
        return math.inf
    rho = count * mixture_precision(alpha, tuned_at)
    return math.sqrt(variance * 2 * (rho + 1) * math.log(math.sqrt(rho + 1) / alpha) / (count * rho))


def mixture_precision(alpha: float, tuned_at: float) -> float:
    """Return rho squared, with which the sequence is nearly tightest at `tuned_at` values."""
    log = -2 * math.log(alpha)
    return (log + math.log(log + 1)) / tuned_at


@dataclass
class BernsteinSequence:
    """Predictable plug-in empirical Bernstein confidence sequence (Waudby-Smith and Ramdas 2023, theorem 2).

    Exact at every sample size for values in [low, high]; values come in chunks, in the order of the log.
    """

    low: float
    high: float
    alpha: float = 0.05
    largest_bet: float = 0.5
    """Cap on lambda, in (0, 1): bets on early, unsure variances are kept small."""
    count: int = 0
    _sum: float = 0.5
    _squares: float = 0.25
    _bets: float = 0.0
    _won: float = 0.0
    _paid: float = 0.0

    def add(self, values: Floats) -> None:
        """Take n more values. Raises ValueError if one is outside [low, high]."""
        if not len(values):
            return
        if not (self.low <= values.min() and values.max() <= self.high):
            raise ValueError(f"a value is outside [{self.low}, {self.high}]")
        scaled = (values - self.low) / (self.high - self.low)
        seen = self.count + np.arange(1, len(scaled) + 1)
        means = (self._sum + np.cumsum(scaled)) / (seen + 1)
        before = np.append(self._sum / (self.count + 1), means[:-1])
        squares = self._squares + np.cumsum((scaled - means) ** 2)
        variance = np.append(self._squares, squares[:-1]) / seen
        bets = np.minimum(
            np.sqrt(2 * math.log(2 / self.alpha) / (variance * seen * np.log(seen + 1))), self.largest_bet
        )
        cost = -np.log1p(-bets) - bets
        self._bets += float(bets.sum())
        self._won += float(bets @ scaled)
        self._paid += float(((scaled - before) ** 2) @ cost)
        self._sum += float(scaled.sum())
        self._squares = float(squares[-1])
        self.count += len(scaled)

    def interval(self) -> Interval:
        """Return where the mean lies."""
        if not self.count:
            return Interval(self.low, self.high)
        centre = self._won / self._bets
        half = (math.log(2 / self.alpha) + self._paid) / self._bets
        span = self.high - self.low
        return Interval(self.low + span * max(0.0, centre - half), self.low + span * min(1.0, centre + half))
