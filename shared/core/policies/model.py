"""The model that decides: solved from the merged statistics of all partitions, never changed afterwards."""

from dataclasses import dataclass

import numpy as np

from shared.core.arrays import Bools, Floats
from shared.core.features.maps import FeatureMap
from shared.core.features.scaling import Scaling
from shared.core.policies import distributions
from shared.core.policies.configuration import PolicyConfiguration

MONTE_CARLO_CELLS = 1 << 20
"""Contexts x samples x actions that Thompson sampling scores at once: 8 MB."""


@dataclass(frozen=True, eq=False)
class Signature:
    """What the coefficients were solved from: an action with equal parts need not be solved again."""

    rows: np.ndarray
    """(actions,) int64: reward records learnt, corrections included, and resets."""
    moment: Floats
    """(actions, size): sums of w r x."""
    reference: int
    """Time that weights refer to, in 64ths of a half-life; 0 where nothing is forgotten."""
    scaling: Scaling | None
    """The scaling in use; provisional (fitted to the pending rows) while no learner has a frozen one."""


@dataclass(frozen=True, eq=False)
class Model:
    """Coefficients per action and what else one policy needs to give probabilities.

    A pure function of the rows that the learners have learnt: equal rows give equal probabilities.
    """

    configuration: PolicyConfiguration
    width: int
    action_width: int
    feature_map: FeatureMap | None
    """None before any reward: all actions are alike."""
    coefficients: Floats
    """(actions, size): ridge means."""
    covariance: Floats | None
    """(actions, s, s): inverse of the ridge matrix of each action's first s features (the linear ones, or
    all), where the policy uses uncertainty."""
    count: Floats
    """(actions,): rewards learnt, discounted where the policy forgets."""
    samples: Floats | None
    """Thompson sampling's noise, which belongs to the model and not to the request: (samples, actions)
    standard normals; (samples, actions) draws of Beta; (samples, size) coefficients where actions bring
    features and so share one posterior."""
    signature: Signature

    @property
    def learnt(self) -> int:
        """Reward records learnt, corrections included, and resets: every change of what is known counts."""
        return int(self.signature.rows.sum())

    def probabilities(self, contexts: np.ndarray, eligible: np.ndarray | None = None) -> Floats:
        """Return the exact distribution over the fixed actions, (n, actions) float64.

        `contexts`: (n, width) raw. `eligible`: bool, (n, actions) or (actions,), the actions to choose from.
        Raises ValueError for a wrong shape and for a row without an eligible action.
        """
        if self.action_width:
            raise ValueError("this policy's actions bring features: use probabilities_dynamic")
        if contexts.ndim != 2 or contexts.shape[1] != self.width:
            raise ValueError(f"contexts of shape {contexts.shape}; wanted (n, {self.width})")
        shape = (len(contexts), len(self.coefficients))
        mask = None if eligible is None else _mask(eligible, shape)
        if self.feature_map is None:
            return distributions.mixed(np.zeros(shape), mask, 1.0)
        features = self.feature_map(contexts)
        widths = None if self.covariance is None else _widths(features, self.covariance)
        return self._distribution(features @ self.coefficients.T, widths, mask)

    def probabilities_dynamic(self, context: np.ndarray, action_features: np.ndarray) -> Floats:
        """Return the distribution over k actions that bring features: context (width,), features (k, m)."""
        k = len(action_features)
        if context.shape != (self.width,) or action_features.shape != (k, self.action_width) or not k:
            raise ValueError(
                f"context {context.shape} and action features {action_features.shape}; "
                f"wanted ({self.width},) and (k, {self.action_width}), k at least 1"
            )
        if self.feature_map is None:
            return np.full(k, 1.0 / k)
        raw = np.concatenate([np.broadcast_to(context, (k, self.width)), action_features], axis=1)
        features = self.feature_map(raw)
        if self.samples is not None:
            draws = self.samples @ features.T
            chosen = distributions.most_often(draws[None], None)
            return distributions.mixed(chosen, None, self.configuration.floor).reshape(k)
        widths = None if self.covariance is None else _widths(features, self.covariance).T
        return self._distribution((features @ self.coefficients[0])[None], widths, None).reshape(k)

    def _distribution(self, means: Floats, widths: Floats | None, eligible: Bools | None) -> Floats:
        policy = self.configuration
        floor = policy.floor
        if self.samples is not None:
            chosen = self._thompson(means, widths, eligible)
        elif policy.kind == "squarecb":
            gamma = policy.gamma * float(np.sqrt(max(self.count.sum(), 1.0)))
            chosen = distributions.inverse_gap(means, eligible, gamma)
        elif widths is not None:
            chosen = distributions.best(means + policy.alpha * widths, eligible)
        else:
            chosen, floor = distributions.best(means, eligible), max(policy.epsilon, floor)
        return distributions.mixed(chosen, eligible, floor)

    def _thompson(self, means: Floats, widths: Floats | None, eligible: Bools | None) -> Floats:
        """Monte Carlo of independent scores: how often each action's draw is the highest."""
        assert self.samples is not None
        chosen = np.empty_like(means)
        step = max(1, MONTE_CARLO_CELLS // self.samples.size)
        for start in range(0, len(means), step):
            part = slice(start, start + step)
            if widths is None:
                draws = np.repeat(self.samples[None], len(means[part]), axis=0)
            else:
                scales = self.configuration.alpha * widths[part]
                draws = means[part, None, :] + scales[:, None, :] * self.samples
            chosen[part] = distributions.most_often(draws, None if eligible is None else eligible[part])
        return chosen


def _mask(eligible: np.ndarray, shape: tuple[int, int]) -> Bools:
    mask = np.broadcast_to(np.asarray(eligible, bool), shape)
    if not mask.any(axis=1).all():
        raise ValueError("a request needs at least one eligible action")
    return mask


def _widths(features: Floats, covariance: Floats) -> Floats:
    """Return sqrt(x' C_a x) for the first features x of each row and each action a, (n, actions)."""
    n, size = len(features), covariance.shape[1]
    features = features[:, :size]
    if n == 1:
        squares: Floats = (covariance.reshape(-1, size) @ features[0]).reshape(-1, size) @ features[0]
        squares = squares[None]
    else:
        columns = [np.einsum("ij,ij->i", features @ matrix, features) for matrix in covariance]
        squares = np.stack(columns, axis=1)
    np.maximum(squares, 0.0, out=squares)
    return np.sqrt(squares, out=squares)
