"""Doubly robust with optimistic shrinkage (Su, Dimakopoulou, Krishnamurthy and Dudik 2020)."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.arrays import Floats
from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged

SHRINKAGES = (1.0, 10.0, 100.0, 1e3, 1e4, float("inf"))
"""From nearly the direct method to doubly robust; `tuning` chooses."""


@dataclass(frozen=True)
class ShrunkDoublyRobust:
    """mean(q_target + w s / (w^2 + s) (r - q_logged)) with shrinkage s: the weight that minimises a bound of
    the mean squared error."""

    parameter: float
    name: str = "dr_os"
    models_rewards: bool = True

    def terms(self, log: Logged) -> Terms:
        """The model's prediction, corrected under shrunk weights."""
        q_logged, q_target = log.models
        return Terms(q_target + self._shrunk(log.weight) * (log.reward - q_logged))

    def _shrunk(self, weight: Floats) -> Floats:
        return weight / (weight**2 / self.parameter + 1.0)


def estimators() -> Iterator[ShrunkDoublyRobust]:
    """One for each shrinkage."""
    yield from map(ShrunkDoublyRobust, SHRINKAGES)
