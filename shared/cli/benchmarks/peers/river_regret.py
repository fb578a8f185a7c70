"""river's LinUCBDisjoint. Its alpha is the precision of the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
from bandit_rounds import main
from river.bandit import LinUCBDisjoint

ALPHAS = (4.0, 16.0, 100.0, 300.0)


class River:
    """One policy, fed dictionaries."""

    def __init__(self, alpha: float, actions: int) -> None:
        self._policy = LinUCBDisjoint(alpha=alpha, seed=1)
        self._arms = list(range(actions))

    def contexts(self, features: np.ndarray) -> list[Any]:
        return [{"one": 1.0, **{f"f{i}": value for i, value in enumerate(row)}} for row in features.tolist()]

    def choose(self, contexts: list[Any]) -> list[int]:
        return [self._policy.pull(self._arms, context=context) for context in contexts]

    def learn(self, contexts: list[Any], actions: list[int], rewards: list[float]) -> None:
        for context, action, reward in zip(contexts, actions, rewards, strict=True):
            self._policy.update(action, context, reward)


if __name__ == "__main__":
    main({f"LinUCBDisjoint alpha {alpha:g}": lambda k, a=alpha: River(a, k) for alpha in ALPHAS})
