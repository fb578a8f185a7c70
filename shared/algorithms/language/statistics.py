"""Intervals of what is reported: shares of pairs, and gains measured prompt by prompt."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

CONFIDENCE = 0.95
#: Enough for two digits of a percentile interval's ends.
RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its interval."""

    value: float
    low: float
    high: float

    def metrics(self, name: str) -> dict[str, float]:
        """name, name_low, name_high."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def wilson(successes: float, n: int) -> Estimate:
    """Share of n, with Wilson's interval (1927); a tie may count as half a success. n must be positive."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def preferred(first: Numbers, second: Numbers) -> Estimate:
    """Share of pairs in which the first scores higher, ties counted as half."""
    return wilson(float((first > second).sum() + 0.5 * (first == second).sum()), len(first))


def mean_with_interval(values: Numbers, seed: int) -> Estimate:
    """Mean with a percentile bootstrap over rows."""
    picks = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    means = values[picks].mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(values.mean()), float(low), float(high))


def length_slope(groups: list[tuple[Numbers, Numbers]]) -> float:
    """Reward per unit of length within each group (lengths, rewards), pooled; 0 where no length varies."""
    lengths = np.concatenate([length - length.mean() for length, _ in groups])
    rewards = np.concatenate([reward - reward.mean() for _, reward in groups])
    spread = float(lengths @ lengths)
    return float(lengths @ rewards) / spread if spread > 0 else 0.0
