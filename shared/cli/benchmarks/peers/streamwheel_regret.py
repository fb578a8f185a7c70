"""Streamwheel's own policies in the rounds that the peers play: raw features, everything else learnt online.

Between two times of learning it plays more rounds than the peers do, as the loop does; what it learns from is
never younger than the delay.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.cli.benchmarks.peers.bandit_rounds import main
from shared.core.draw import draw, uniform
from shared.core.policies.configuration import PolicyConfiguration
from shared.core.policies.learner import Learner
from shared.core.policies.model import Model
from shared.core.policies.solving import solve

BLOCK_AT_ONCE, BLOCK_DELAYED = 5, 10
CONFIGURATIONS = {
    "default": PolicyConfiguration(),
    "squarecb": PolicyConfiguration(kind="squarecb"),
}


class Streamwheel:
    """One learner, and the model solved from it."""

    def __init__(self, configuration: PolicyConfiguration, actions: int) -> None:
        self._configuration, self._actions = configuration, actions
        self._learner: Learner | None = None
        self._model: Model | None = None
        self._rounds = 0

    def contexts(self, features: np.ndarray) -> list[Any]:
        """The rows as they are."""
        self._learner = Learner(self._configuration, width=features.shape[1], actions=self._actions)
        self._model = solve([self._learner])
        return list(features.astype(np.float32))

    def choose(self, contexts: list[Any]) -> list[int]:
        """Draw from the model's distribution."""
        assert self._model is not None
        chosen = []
        for probabilities in self._model.probabilities(np.array(contexts)):
            self._rounds += 1
            chosen.append(draw(probabilities, uniform(str(self._rounds), "regret", 1)))
        return chosen

    def learn(self, contexts: list[Any], actions: list[int], rewards: list[float]) -> None:
        """Learn and solve; the scaling freezes as soon as it can."""
        assert self._learner is not None
        n = len(actions)
        self._learner.learn(np.array(contexts), np.array(actions), np.array(rewards), np.ones(n), np.zeros(n))
        if (scaling := self._learner.propose_scaling()) is not None:
            self._learner.set_scaling(scaling)
        self._model = solve([self._learner], self._model)


if __name__ == "__main__":
    main(
        {
            name: lambda k, c=configuration: Streamwheel(c, k)
            for name, configuration in CONFIGURATIONS.items()
        },
        lambda setting, delay: BLOCK_DELAYED if delay else BLOCK_AT_ONCE,
        lenient=False,
    )
