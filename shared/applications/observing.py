"""Metrics that are an application's own: names its dashboards read, fed by services that do not know them.

A service makes an application's observer once, in its own registry, and tells it facts. Facts of the log are
told once their transaction is committed, each once in the life of a process; after a restart counters begin
at 0 again, as Prometheus expects.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import polars as pl

from shared.applications.contract import Application, Flags, Numbers

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

#: Fields of a decision that reward observers are told.
DECISION_COLUMNS = ("action", "attributes")

Observer = TypeVar("Observer")


class RewardObserver(Protocol):
    """What the reward calculator tells. Decisions have the columns DECISION_COLUMNS."""

    def heard(self, decisions: pl.DataFrame, interactions: pl.DataFrame) -> None:
        """Interactions that came to count, columns as `INTERACTION_COLUMNS`; beside each row its decision."""

    def rewarded(self, decisions: pl.DataFrame, reward: Numbers, first: Flags, told: Flags) -> None:
        """Rewards of decisions, (n,).

        `first`: the first one that the decision has, be it the default. `told`: the first one that
        interactions gave. Neither: a later revision.
        """


class PolicyObserver(Protocol):
    """What a decision API tells of the application's online policy, whenever another one is served."""

    def served(self, pulls: Numbers, means: Numbers, shares: Numbers) -> None:
        """Of each action of the list, (k,): rewards learnt, mean reward (NaN: none), share of decisions."""


def observers(
    applications: Mapping[str, Application], made: "Callable[[Application], Observer | None]"
) -> dict[str, Observer]:
    """Application → its observer, for those that have one."""
    found = {name: made(application) for name, application in applications.items()}
    return {name: each for name, each in found.items() if each is not None}


def reward_observers(
    applications: Mapping[str, Application], registry: "CollectorRegistry"
) -> dict[str, RewardObserver]:
    """Observers for a reward calculator, whose metrics are in `registry`."""
    return observers(applications, lambda each: each.reward_observer(registry))


def policy_observers(
    applications: Mapping[str, Application], registry: "CollectorRegistry"
) -> dict[str, PolicyObserver]:
    """Observers for a decision API, whose metrics are in `registry`."""
    return observers(applications, lambda each: each.policy_observer(registry))
