"""Fitted-Q evaluation with features linear in the state (Le, Voloshin and Yue 2019, algorithm 3)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.contract import Terms
from shared.core.estimators.sequences.trajectories import Trajectories

TOLERANCE = 1e-12
"""Relative change of the coefficients at which the iteration has converged."""


@dataclass(frozen=True)
class FittedQ:
    """Ridge regressions of r + discount E_target[Q(s', a')] on the state, one for each action, repeated.

    Tabular where states are one-hot. Not unbiased: as good as the features.
    """

    ridge: float = 1e-6
    """Prior precision of each coefficient: small, so that a state seen once counts."""
    iterations: int = 10_000
    """Most regressions; with a discount below one their change falls by that factor each time."""
    name: str = "fqe"
    parameter: None = None
    models_rewards: bool = False

    def terms(self, log: Trajectories) -> Terms:
        """Expected value of the first state under the target policy, one for each trajectory.

        Raises ValueError if the regressions do not settle, which linear features allow.
        """
        values = log.target_probabilities @ self._fit(log)
        return Terms((values * log.state).sum(axis=1)[log.starts])

    def _fit(self, log: Trajectories) -> Floats:
        """Coefficients (k, d)."""
        actions, width = log.target_probabilities.shape[1], log.state.shape[1]
        features = _expand(np.eye(actions)[log.action], log.state)
        following = np.zeros_like(features)
        before = np.flatnonzero(~log.last)
        following[before] = _expand(log.target_probabilities[before + 1], log.state[before + 1])
        known = before if log.cut else slice(None)
        features, following, reward = features[known], following[known], log.reward[known]
        curvature = features.T @ features + self.ridge * np.eye(actions * width)
        moment = np.linalg.solve(curvature, features.T @ reward)
        carry = log.discount * np.linalg.solve(curvature, features.T @ following)
        coefficients = moment
        for _ in range(self.iterations):
            with np.errstate(over="ignore", invalid="ignore"):
                after = moment + carry @ coefficients
                change, scale = np.abs(after - coefficients).max(), max(1.0, np.abs(after).max())
            coefficients = after
            if not np.isfinite(change):
                break
            if change <= TOLERANCE * scale:
                return np.asarray(coefficients.reshape(actions, width))
        raise ValueError(f"fitted-Q evaluation did not settle within {self.iterations} regressions")


def _expand(shares: Floats, state: Floats) -> Floats:
    """(n, k) and (n, d) to (n, k d): the state under each action, times that action's share."""
    return np.asarray(
        (shares[:, :, None] * state[:, None, :]).reshape(len(state), shares.shape[1] * state.shape[1])
    )


def estimators() -> Iterator[FittedQ]:
    """What this module offers."""
    yield FittedQ()
