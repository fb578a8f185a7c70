"""Ridge reward models over contexts and vectors, which never predict a row they have seen."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats

RIDGE = 10.0
"""As `shared.core.estimators.reward_model`'s: prior precision of a coefficient, in rows. All rows
count alike: those that a narrow kernel gives weight are too few for as many coefficients."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a fitted model says, (n,) each."""

    logged: Floats
    """At the logged vector."""
    target: Floats
    """At the target's vector itself."""


@dataclass(frozen=True, eq=False)
class ActionModel:
    """Quadratic in the vector, with all products of context and vector."""

    coefficients: Floats

    @classmethod
    def fit(cls, contexts: Floats, vectors: Floats, rewards: Floats) -> Self:
        """Fit contexts (n, w), standardised, vectors (n, d) of variance about one, and rewards (n,)."""
        features, mean = _features(contexts, vectors), float(rewards.mean())
        curvature = features.T @ features + RIDGE * np.eye(features.shape[1])
        found = np.linalg.solve(curvature, features.T @ (rewards - mean))
        found[0] += mean
        return cls(np.asarray(found))

    def predict(self, contexts: Floats, vectors: Floats) -> Floats:
        """Return the rewards expected of vectors (n, d) in contexts (n, w), (n,)."""
        return np.asarray(_features(contexts, vectors) @ self.coefficients)


def predict(
    contexts: Floats,
    vectors: Floats,
    wanted: Floats,
    rewards: Floats,
    fold: NDArray[np.int64],
) -> Predicted:
    """Predict each fold from the others.

    Args:
        contexts: (n, w), standardised.
        vectors: (n, d), logged, in coordinates of variance about one.
        wanted: (n, d), the target policy's.
        rewards: (n,).
        fold: (n,).
    """
    found = Predicted(np.zeros(len(rewards)), np.zeros(len(rewards)))
    for held in np.unique(fold):
        rest, rows = fold != held, fold == held
        model = ActionModel.fit(contexts[rest], vectors[rest], rewards[rest])
        found.logged[rows] = model.predict(contexts[rows], vectors[rows])
        found.target[rows] = model.predict(contexts[rows], wanted[rows])
    return found


def _features(contexts: Floats, vectors: Floats) -> Floats:
    """(n, …): one, contexts and their squares, vectors, products, and the vectors' squares."""
    count, size = vectors.shape
    pairs = [(i, j) for i in range(size) for j in range(i)]
    products = [(vectors[:, i] * vectors[:, j])[:, None] for i, j in pairs]
    crossed = (contexts[:, :, None] * vectors[:, None, :]).reshape(count, contexts.shape[1] * size)
    return np.column_stack([np.ones(count), contexts, contexts**2, vectors, crossed, *products, vectors**2])
