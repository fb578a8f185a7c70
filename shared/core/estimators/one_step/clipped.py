"""IPS with weights cut at a limit: biased towards zero, so it is offered only under this name."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged

LIMITS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))
"""From nearly on-policy to no clipping; `tuning` chooses."""


@dataclass(frozen=True)
class ClippedInversePropensity:
    """mean(min(w, limit) r) (Ionides 2008)."""

    parameter: float
    name: str = "clipped_ips"
    models_rewards: bool = False

    def terms(self, log: Logged) -> Terms:
        """Rewards under cut weights."""
        return Terms(np.minimum(log.weight, self.parameter) * log.reward)


def estimators() -> Iterator[ClippedInversePropensity]:
    """One for each limit."""
    yield from map(ClippedInversePropensity, LIMITS)
