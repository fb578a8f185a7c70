"""Ridge reward models that never predict a row they have seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats
from shared.core.estimators.hashing import Hashes, mix


@dataclass(frozen=True)
class Predictions:
    """What doubly robust estimators need of a model."""

    q_logged: Floats
    """(n,) prediction for the logged action."""
    q_target: Floats
    """(n,) mean prediction over the target policy's actions."""


def cross_fitted(
    contexts: Floats,
    actions: NDArray[np.int64],
    rewards: Floats,
    target_probabilities: Floats,
    *,
    cluster: Hashes | None = None,
    folds: int = 5,
    ridge: float = 1.0,
    seed: int = 0,
) -> Predictions:
    """Predict each fold from the others (Chernozhukov et al. 2018), with one ridge regression per action.

    An action's regression is on [context, 1]; the intercept is not penalised towards zero but towards the
    mean reward, so that an action never seen is predicted the mean.

    Args:
        contexts: (n, d), of order one.
        actions: (n,) logged actions, from 0.
        rewards: (n,).
        target_probabilities: (n, k), the target policy's distribution.
        cluster: (n,) hash of the subject; all rows of a subject fall into one fold.
        folds: at least 2.
        ridge: prior precision of each coefficient, in rewards' units.
        seed: of the folds.

    Raises ValueError for less than 2 folds or an action without a column of probabilities.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}; a model that predicts unseen rows needs at least 2")
    count = target_probabilities.shape[1]
    if len(actions) and not 0 <= actions.min() <= actions.max() < count:
        raise ValueError(f"actions must be from 0 to {count - 1}")
    keys = np.arange(len(actions), dtype=np.uint64) if cluster is None else cluster
    fold = (mix(keys, seed) % np.uint64(folds)).astype(np.int64)
    features = np.column_stack([contexts, np.ones(len(contexts))])
    predicted = np.empty((len(actions), count))
    for held in range(folds):
        unseen = fold == held
        coefficients = _fit(features[~unseen], actions[~unseen], rewards[~unseen], count, ridge)
        predicted[unseen] = features[unseen] @ coefficients.T
    q_logged = predicted[np.arange(len(actions)), actions]
    return Predictions(q_logged, np.asarray((predicted * target_probabilities).sum(axis=1)))


def _fit(features: Floats, actions: NDArray[np.int64], rewards: Floats, count: int, ridge: float) -> Floats:
    """Coefficients (count, size)."""
    size = features.shape[1]
    mean = float(rewards.mean()) if len(rewards) else 0.0
    coefficients = np.zeros((count, size))
    for action in np.unique(actions):
        rows = features[actions == action]
        curvature = rows.T @ rows + ridge * np.eye(size)
        coefficients[action] = np.linalg.solve(curvature, rows.T @ (rewards[actions == action] - mean))
    coefficients[:, -1] += mean
    return coefficients
