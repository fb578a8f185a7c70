"""Switch-DR (Wang, Agarwal and Dudik 2017): corrects the model only where weights are moderate."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged

THRESHOLDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, float("inf"))
"""From the direct method nearly everywhere to doubly robust everywhere; `tuning` chooses."""


@dataclass(frozen=True)
class SwitchDoublyRobust:
    """mean(q_target + w [w <= threshold] (r - q_logged))."""

    parameter: float
    name: str = "switch_dr"
    models_rewards: bool = True

    def terms(self, log: Logged) -> Terms:
        """The model's prediction, corrected where the weight is at most the threshold."""
        q_logged, q_target = log.models
        kept = np.where(log.weight <= self.parameter, log.weight, 0.0)
        return Terms(q_target + kept * (log.reward - q_logged))


def estimators() -> Iterator[SwitchDoublyRobust]:
    """One for each threshold."""
    yield from map(SwitchDoublyRobust, THRESHOLDS)
