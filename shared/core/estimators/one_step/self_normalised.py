"""Self-normalised IPS (Swaminathan and Joachims 2015): stays within the rewards, moves with their origin."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged


@dataclass(frozen=True)
class SelfNormalised:
    """sum(w r) / sum(w)."""

    name: str = "snips"
    parameter: None = None
    models_rewards: bool = False

    def terms(self, log: Logged) -> Terms:
        """Weighted rewards over weights."""
        return Terms(log.weight * log.reward, log.weight)


def estimators() -> Iterator[SelfNormalised]:
    """What this module offers."""
    yield SelfNormalised()
