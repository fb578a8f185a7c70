"""Per-decision importance sampling (Precup, Sutton and Singh 2000)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared.core.estimators.contract import Terms
from shared.core.estimators.sequences.trajectories import Trajectories


@dataclass(frozen=True)
class PerDecision:
    """mean over trajectories of sum_t discount^t (w_0 ... w_t) r_t: a reward is weighted only by what was
    decided before it."""

    name: str = "pdis"
    parameter: None = None
    models_rewards: bool = False

    def terms(self, log: Trajectories) -> Terms:
        """Weighted return, one for each trajectory."""
        trajectory, steps = log.trajectory, log.steps
        shape = (len(log.starts), int(steps.max(initial=-1)) + 1)
        weights, rewards = np.ones(shape), np.zeros(shape)
        weights[trajectory, steps] = log.target_propensity / log.propensity
        rewards[trajectory, steps] = log.reward * log.discount**steps
        return Terms((np.cumprod(weights, axis=1) * rewards).sum(axis=1))


def estimators() -> Iterator[PerDecision]:
    """What this module offers."""
    yield PerDecision()
