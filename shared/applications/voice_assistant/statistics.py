"""What is known of each variant: how often it answered, how well, and how surely."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from shared.applications.contract import Numbers

MIN_PULLS = 10
"""Calls below which there is no confidence at all."""
NORMAL_95 = 1.959964
"""Standard deviations of a normal 95 % interval's half."""


@dataclass(frozen=True)
class VariantStatistics:
    """Beta(1, 1) and the calls since; a call of reward r counts (r + 1) / 2 of a success."""

    pulls: int = 0
    total: float = 0.0
    """Sum of the rewards, each from -1 to 1."""

    @property
    def mean(self) -> float:
        """Mean reward; 0 before any call."""
        return self.total / self.pulls if self.pulls else 0.0

    @property
    def alpha(self) -> float:
        """Successes, and one."""
        return 1.0 + (self.total + self.pulls) / 2

    @property
    def beta(self) -> float:
        """Failures, and one."""
        return 1.0 + (self.pulls - self.total) / 2

    def confidence(self, min_pulls: int = MIN_PULLS) -> float:
        """One minus the width, in units of reward, of the 95 % interval of the mean; 0 below `min_pulls`.

        The interval is the normal one with the posterior's standard deviation.
        """
        if self.pulls < min_pulls:
            return 0.0
        n = self.alpha + self.beta
        # The posterior is of (r + 1) / 2: rewards are twice as wide.
        deviation = 2 * sqrt(self.alpha * self.beta / (n * n * (n + 1)))
        return max(0.0, 1.0 - 2 * NORMAL_95 * deviation)

    def with_rewards(self, rewards: Numbers) -> "VariantStatistics":
        """After more calls."""
        return replace(self, pulls=self.pulls + len(rewards), total=self.total + float(np.sum(rewards)))


Statistics = Mapping[str, VariantStatistics]


def statistics(variants: Iterable[str], rewards: Numbers) -> dict[str, VariantStatistics]:
    """Of n calls: the variant and the reward of each."""
    names = np.array(list(variants), np.str_)
    return {str(name): VariantStatistics().with_rewards(rewards[names == name]) for name in np.unique(names)}


def exploration_rate(known: Statistics, shares: Mapping[str, float]) -> float:
    """Share of traffic that does not go to the variant of the highest mean."""
    if not shares:
        return 0.0
    best = max(shares, key=lambda name: known.get(name, VariantStatistics()).mean)
    return 1.0 - shares[best] / sum(shares.values())
