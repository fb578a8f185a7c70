"""Inverse propensity scoring (Horvitz and Thompson 1952): unbiased, unbounded variance."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged


@dataclass(frozen=True)
class InversePropensity:
    """mean(w r)."""

    name: str = "ips"
    parameter: None = None
    models_rewards: bool = False

    def terms(self, log: Logged) -> Terms:
        """Weighted rewards, one for each decision."""
        return Terms(log.weight * log.reward)


def estimators() -> Iterator[InversePropensity]:
    """What this module offers."""
    yield InversePropensity()
