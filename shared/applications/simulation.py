"""Products that are played: seeded, with a known truth, so that learning can be measured against it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from shared.applications.contract import Numbers

#: An interaction as `POST /v1/interactions` takes it, without ids: {"type", "value"?, "attributes"?}.
Told = dict[str, Any]


@dataclass(frozen=True)
class Situation:
    """What a subject is in when a decision is asked for."""

    subject_id: str
    context: Mapping[str, Any]
    """What the request says of it."""
    truth: int = 0
    """What the simulator knows beside it."""
    step: int = 0
    """How many decisions the subject had before."""


#: Probabilities of the simulator's actions, in their order.
Policy = Callable[[Situation], Sequence[float] | Numbers]


class Simulator(Protocol):
    """One product with its users. The same seed and generator give the same everything."""

    @property
    def application(self) -> str:
        """Name of the application."""

    @property
    def actions(self) -> list[str]:
        """The application's actions."""

    def start(self, random: np.random.Generator) -> Situation:
        """A new subject."""

    def follow(
        self, situation: Situation, action: str, random: np.random.Generator
    ) -> tuple[list[Told], Situation | None]:
        """What the subject does after an action, and its next situation; None where it leaves."""

    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of an action, exactly."""

    def mean_reward(self, policy: Policy) -> float:
        """Mean reward of a policy's decisions, exactly."""

    def optimal_mean_reward(self) -> float:
        """The highest `mean_reward` that any policy has."""


class OneStep(ABC):
    """A simulator of subjects that ask once, each in one of `situations`, all equally likely."""

    application: str
    actions: list[str]
    situations: list[Situation]

    def start(self, random: np.random.Generator) -> Situation:
        """A new subject in any of the situations."""
        chosen = self.situations[int(random.integers(len(self.situations)))]
        return replace(chosen, subject_id=f"subject-{random.integers(2**53)}")

    def follow(
        self, situation: Situation, action: str, random: np.random.Generator
    ) -> tuple[list[Told], Situation | None]:
        """What the subject does; it does not come back."""
        return self.interactions(situation, action, random), None

    @abstractmethod
    def interactions(self, situation: Situation, action: str, random: np.random.Generator) -> list[Told]:
        """What the subject does after an action."""

    @abstractmethod
    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of an action, exactly."""

    def rewards(self) -> Numbers:
        """Mean reward of each action in each of the situations, (situations, actions)."""
        return np.array([[self.expected_reward(s, a) for a in self.actions] for s in self.situations])

    def mean_reward(self, policy: Policy) -> float:
        """The policy's mean over all situations."""
        chosen = np.array([policy(situation) for situation in self.situations])
        return float((chosen * self.rewards()).sum(axis=1).mean())

    def optimal_mean_reward(self) -> float:
        """The mean over all situations of the best action's reward."""
        return float(self.rewards().max(axis=1).mean())


def uniform(simulator: Simulator) -> Policy:
    """The policy that chooses blindly."""
    return lambda _: np.full(len(simulator.actions), 1 / len(simulator.actions))


def simulated() -> list[str]:
    """Names of the applications that have a simulator."""
    return sorted(file.parent.name for file in Path(__file__).parent.glob("*/simulator.py"))


def load_simulator(application: str, seed: int = 0) -> Simulator:
    """An application's simulator, whose truth belongs to the seed. Raises KeyError where there is none."""
    if application not in simulated():
        raise KeyError(f"there is no simulator of {application}; there is of: {', '.join(simulated())}")
    module = import_module(f"{__package__}.{application}.simulator")
    found: Simulator = module.simulator(seed)
    return found
