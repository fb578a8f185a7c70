"""Ridge reward models for doubly robust estimates, which never predict a row they have seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats
from shared.core.estimators.hashing import Hashes, mix


@dataclass(frozen=True)
class Predictions:
    """What estimators need of a reward model."""

    q_logged: Floats
    """(n,) prediction for the logged action."""
    q_target: Floats
    """(n,) mean prediction over the target policy's actions."""
    fold: NDArray[np.int64]
    """(n,) which rows were predicted together, from all others."""


@dataclass(frozen=True)
class RewardModel:
    """One ridge regression per action on [context, 1], fitted to each fold from the others (Chernozhukov et
    al. 2018). Rows weigh by the square of their importance weight, so that what is minimised is the doubly
    robust estimate's variance, not the error where the target policy never goes (Farajtabar, Chow and
    Ghavamzadeh 2018). An action without rows is predicted the weighted mean reward.

    Raises ValueError for less than 2 folds or a ridge that is not above zero.
    """

    folds: int = 5
    ridge: float = 10.0
    """Prior precision of each coefficient, where a row of mean weight has precision 1 and contexts are of
    order one."""
    seed: int = 0
    """Of the folds."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds is {self.folds}; a model that predicts unseen rows needs at least 2")
        if not self.ridge > 0:
            raise ValueError(f"ridge is {self.ridge!r}; it must be above zero")

    def predict(
        self,
        contexts: Floats,
        actions: NDArray[np.int64],
        rewards: Floats,
        propensity: Floats,
        target_probabilities: Floats,
        cluster: Hashes | None = None,
    ) -> Predictions:
        """Predict every row.

        Args:
            contexts: (n, d).
            actions: (n,) logged actions, from 0.
            rewards: (n,).
            propensity: (n,) of the logged actions.
            target_probabilities: (n, k), the target policy's distributions.
            cluster: (n,) hash of the subject; all rows of a subject fall into one fold.

        Raises ValueError for an action without a column of probabilities.
        """
        n, count = target_probabilities.shape
        if n and not 0 <= actions.min() <= actions.max() < count:
            raise ValueError(f"actions must be from 0 to {count - 1}")
        keys = np.arange(n, dtype=np.uint64) if cluster is None else cluster
        fold = (mix(keys, self.seed) % np.uint64(self.folds)).astype(np.int64)
        squares = (target_probabilities[np.arange(n), actions] / propensity) ** 2
        features = np.column_stack([contexts, np.ones(n)])
        predicted = np.empty((n, count))
        for held in range(self.folds):
            rest = fold != held
            fitted = self._fit(features[rest], actions[rest], rewards[rest], squares[rest], count)
            predicted[~rest] = features[~rest] @ fitted.T
        q_target = (predicted * target_probabilities).sum(axis=1)
        return Predictions(predicted[np.arange(n), actions], np.asarray(q_target), fold)

    def _fit(
        self, features: Floats, actions: NDArray[np.int64], rewards: Floats, squares: Floats, count: int
    ) -> Floats:
        """Coefficients (count, size)."""
        size, total = features.shape[1], float(squares.sum())
        coefficients = np.zeros((count, size))
        if total > 0:
            weights = squares * (len(squares) / total)
            mean = float(squares @ rewards) / total
            for action in np.unique(actions):
                rows = actions == action
                weighted = features[rows] * weights[rows, None]
                curvature = weighted.T @ features[rows] + self.ridge * np.eye(size)
                coefficients[action] = np.linalg.solve(curvature, weighted.T @ (rewards[rows] - mean))
            coefficients[:, -1] += mean
        return coefficients


def scaled(predictions: Predictions, weight: Floats, reward: Floats) -> Predictions:
    """Return predictions times the factor that makes the doubly robust estimate's variance least.

    Seen as a control variate (Owen 2013, section 8.9), w q_logged - q_target has mean zero whatever the
    model, so any factor keeps the estimate unbiased if a row's comes from other folds, as here. A model that
    does not help is faded out, and the estimate is then no worse than IPS.

    Args:
        predictions: from a reward model.
        weight: (n,) importance weights.
        reward: (n,).
    """
    variate, target = weight * predictions.q_logged - predictions.q_target, weight * reward
    factor = np.zeros(len(weight))
    for held in np.unique(predictions.fold):
        rest = predictions.fold != held
        if rest.any():
            apart = variate[rest] - variate[rest].mean()
            spread = float(apart @ apart)
            factor[~rest] = float(apart @ target[rest]) / spread if spread > 0 else 0.0
    return Predictions(predictions.q_logged * factor, predictions.q_target * factor, predictions.fold)
