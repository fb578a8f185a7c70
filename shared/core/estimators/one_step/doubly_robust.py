"""Doubly robust (Dudik, Langford and Li 2011): unbiased if the propensities or the reward model are right."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged


@dataclass(frozen=True)
class DoublyRobust:
    """mean(q_target + w (r - q_logged)), and what corrects a weight's own bias."""

    name: str = "dr"
    parameter: None = None
    models_rewards: bool = True

    def terms(self, log: Logged) -> Terms:
        """The model's prediction, corrected by its weighted residual."""
        q_logged, q_target = log.models
        found = q_target + log.weight * (log.reward - q_logged)
        return Terms(found if log.correction is None else found + log.correction)


def estimators() -> Iterator[DoublyRobust]:
    """What this module offers."""
    yield DoublyRobust()
