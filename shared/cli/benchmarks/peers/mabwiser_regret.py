"""MABWiser's LinUCB and LinTS.

LinTS decomposes a covariance per arm and choice, 15 ms in all, so it plays and learns in blocks of rounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bandit_rounds import main
from mabwiser.mab import MAB, LearningPolicy

LINUCB_ALPHAS = (0.1, 0.25, 0.5, 1.0)
LINTS_ALPHAS = (0.02, 0.05, 0.1)
LINTS_BLOCK = 10
DELAYED_BLOCK = 25
"""Delayed, blocks are an advantage: their first rounds know rewards younger than the delay."""


class MabWiser:
    """One policy, fed arrays."""

    def __init__(self, policy: Any, actions: int) -> None:
        self._arms = list(range(actions))
        self._bandit = MAB(self._arms, policy, seed=1)
        self._fitted = False

    def contexts(self, features: np.ndarray) -> list[Any]:
        return list(np.concatenate([features, np.ones((len(features), 1))], axis=1))

    def choose(self, contexts: list[Any]) -> list[int]:
        if not self._fitted:
            return [i % len(self._arms) for i in range(len(contexts))]
        chosen = self._bandit.predict(np.array(contexts))
        return chosen if isinstance(chosen, list) else [chosen]

    def learn(self, contexts: list[Any], actions: list[int], rewards: list[float]) -> None:
        learn = self._bandit.partial_fit if self._fitted else self._bandit.fit
        learn(decisions=actions, rewards=rewards, contexts=np.array(contexts))
        self._fitted = True


SETTINGS = {
    **{
        f"LinUCB alpha {a:g}": (lambda k, a=a: MabWiser(LearningPolicy.LinUCB(alpha=a), k))
        for a in LINUCB_ALPHAS
    },
    **{
        f"LinTS alpha {a:g}": (lambda k, a=a: MabWiser(LearningPolicy.LinTS(alpha=a), k))
        for a in LINTS_ALPHAS
    },
}

if __name__ == "__main__":
    main(
        SETTINGS,
        lambda setting, delay: DELAYED_BLOCK if delay else LINTS_BLOCK if setting.startswith("LinTS") else 1,
    )
