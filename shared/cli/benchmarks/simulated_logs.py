"""Logs whose truth is known: softmax policies over a finite population of contexts."""

from dataclasses import dataclass

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.log import Logged
from shared.core.estimators.reward_model import RewardModel, scaled
from shared.core.estimators.weights import expected_moments

CONTEXTS, FEATURES, ACTIONS = 500, 4, 5


@dataclass(frozen=True)
class World:
    """A population of contexts, each equally likely, with chances of reward 1 and two policies.

    Behaviour and target prefer actions for reasons of their own; `contrast` is how strongly, and so how
    little they overlap.
    """

    contexts: Floats
    """(500, 4)."""
    chances: Floats
    """(500, 5) chance of reward 1 of each action."""
    behaviour: Floats
    """(500, 5) distributions, all above zero."""
    target: Floats

    @classmethod
    def of(cls, contrast: float, seed: int = 0) -> "World":
        """Return the world of a contrast."""
        draw = np.random.default_rng(seed)
        contexts = draw.normal(size=(CONTEXTS, FEATURES))
        reward, behaviour, target = (draw.normal(size=(FEATURES, ACTIONS)) for _ in range(3))
        chances = 1 / (1 + np.exp(-np.sin(contexts @ reward)))
        policies = (_softmax(contrast * contexts @ each) for each in (behaviour, target))
        return cls(contexts, chances, *policies)

    @property
    def truth(self) -> float:
        """The target policy's mean reward."""
        return float((self.target * self.chances).sum(axis=1).mean())

    @property
    def logged(self) -> float:
        """The behaviour policy's mean reward."""
        return float((self.behaviour * self.chances).sum(axis=1).mean())

    def log(self, rows: int, seed: int) -> Logged:
        """Draw a log, with a cross-fitted reward model's predictions."""
        draw = np.random.default_rng(seed)
        context = draw.integers(CONTEXTS, size=rows)
        totals = np.cumsum(self.behaviour[context], axis=1)
        action = np.minimum((totals < draw.random((rows, 1))).sum(axis=1), ACTIONS - 1)
        reward = (draw.random(rows) < self.chances[context, action]).astype(np.float64)
        propensity, chosen = self.behaviour[context, action], self.target[context]
        weight = chosen[np.arange(rows), action] / propensity
        raw = RewardModel(seed=seed).predict(self.contexts[context], action, reward, propensity, chosen)
        predicted = scaled(raw, weight, reward)
        return Logged(
            reward=reward,
            propensity=propensity,
            target_propensity=self.target[context, action],
            q_logged=predicted.q_logged,
            q_target=predicted.q_target,
            moments=expected_moments(self.behaviour[context], chosen),
        )


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
