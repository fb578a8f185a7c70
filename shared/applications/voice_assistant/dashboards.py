"""The metrics that the dashboards of the voice assistant read, under the names they read them by.

A call is counted under its variant and its caller's profile. Histograms and counters only go up: a reward is
observed once, as feedback first gave it; what corrections make of the means shows in the success rates.
"""

from collections.abc import Sequence
from itertools import product
from math import isnan
from typing import get_args

import numpy as np
import polars as pl
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.applications.columns import AttributeColumns
from shared.applications.contract import Flags, Numbers
from shared.applications.voice_assistant.guard import VariantGuard, blacklisted
from shared.applications.voice_assistant.signals import Profile
from shared.applications.voice_assistant.statistics import exploration_rate
from shared.telemetry.metrics import bounded

PROFILES: tuple[str, ...] = get_args(Profile)
LABELS = ("variant", "profile")
REWARD_BUCKETS = (-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
RATING_BUCKETS = (1.0, 2.0, 3.0, 4.0, 5.0)
Labels = tuple[str, str]


class RewardMetrics:
    """What the log tells: feedback, rewards, ratings, pulls."""

    def __init__(self, registry: CollectorRegistry, variants: Sequence[str]) -> None:
        self._variants = frozenset(variants)
        self.feedback = Counter(
            "rl_feedback", "events of feedback that counted for a call", LABELS, registry=registry
        )
        self.rewards = Histogram(
            "rl_reward_distribution",
            "rewards of calls, each as feedback first gave it",
            LABELS,
            registry=registry,
            buckets=REWARD_BUCKETS,
        )
        self.ratings = Histogram(
            "rl_user_rating_distribution",
            "ratings, 1 to 5 stars",
            LABELS,
            registry=registry,
            buckets=RATING_BUCKETS,
        )
        self.pulls = Counter(
            "rl_policy_pulls", "calls with a reward, be it the default", LABELS, registry=registry
        )
        # A series that begins with its first event hides that event from rates.
        for metric, labels in product(
            (self.feedback, self.rewards, self.ratings, self.pulls), product(variants, PROFILES)
        ):
            metric.labels(*labels)

    def heard(self, decisions: pl.DataFrame, interactions: pl.DataFrame) -> None:
        """As in `RewardObserver`."""
        stars = AttributeColumns(interactions).numbers("user_rating", 1, 5, whole=True)
        for labels, rating in zip(self._labels(decisions), stars.tolist(), strict=True):
            self.feedback.labels(*labels).inc()
            if not isnan(rating):
                self.ratings.labels(*labels).observe(rating)

    def rewarded(self, decisions: pl.DataFrame, reward: Numbers, first: Flags, told: Flags) -> None:
        """As in `RewardObserver`."""
        rows = zip(self._labels(decisions), reward.tolist(), first.tolist(), told.tolist(), strict=True)
        for labels, value, is_first, is_told in rows:
            if is_first:
                self.pulls.labels(*labels).inc()
            if is_told:
                self.rewards.labels(*labels).observe(value)

    def _labels(self, decisions: pl.DataFrame) -> list[Labels]:
        profiles = AttributeColumns(decisions).texts("profile")
        rows = zip(decisions["action"].to_list(), profiles, strict=True)
        return [
            (bounded(action, self._variants), bounded(profile or "", PROFILES)) for action, profile in rows
        ]


class PolicyMetrics:
    """What the served online policy knows, and what the guard makes of it."""

    def __init__(self, registry: CollectorRegistry, guard: VariantGuard) -> None:
        self._guard = guard
        self.success = Gauge(
            "rl_policy_success_rate",
            "successes a call, as Thompson sampling counts them: (mean reward + 1) / 2",
            ("variant",),
            registry=registry,
        )
        self.exploration = Gauge(
            "rl_bandit_exploration_rate",
            "share of calls not given to the variant of the highest mean reward",
            registry=registry,
        )
        self.active = Gauge(
            "rl_active_variants_total", "variants that get calls, beside the base", registry=registry
        )
        self.blacklisted = Gauge(
            "rl_blacklisted_variants_total", "variants that the guard has taken out", registry=registry
        )

    def served(self, pulls: Numbers, means: Numbers, shares: Numbers) -> None:
        """As in `PolicyObserver`."""
        known = self._guard.known(pulls, means)
        for name, mean in zip(self._guard.variants, means.tolist(), strict=True):
            if not isnan(mean):
                self.success.labels(name).set((mean + 1) / 2)
        given = {self._guard.variants[n]: float(shares[n]) for n in np.flatnonzero(shares)}
        self.exploration.set(exploration_rate(known, given))
        self.active.set(len(given.keys() - {self._guard.settings.base}))
        self.blacklisted.set(len(blacklisted(known, self._guard.settings)))
