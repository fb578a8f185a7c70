"""Scores of actions to the probabilities they are drawn with.

Everywhere: scores (n, k) float64; `eligible` (n, k) bool or None for all; the result (n, k) sums to one in
each row, is above zero for every eligible action and zero for the others. Equal scores share equally.
"""

import numpy as np

from shared.core.arrays import Bools, Floats

TIE = 1e-9
"""Scores closer than this times the row's largest magnitude are equal: sums in another order differ so."""


def mixed(chosen: Floats, eligible: Bools | None, floor: float) -> Floats:
    """Give the share `floor` of the probability to all eligible actions alike."""
    share = floor / (chosen.shape[1] if eligible is None else eligible.sum(axis=1, keepdims=True))
    shares: Floats = chosen * (1.0 - floor)
    shares += share if eligible is None else eligible * share
    return shares


def best(scores: Floats, eligible: Bools | None) -> Floats:
    """Share all probability among the highest scores."""
    top, _ = _top(scores, eligible)
    shares: Floats = top / top.sum(axis=1, keepdims=True)
    return shares


def inverse_gap(scores: Floats, eligible: Bools | None, gamma: float) -> Floats:
    """Inverse-gap weights 1 / (k + gamma gap), the rest to the best (SquareCB, Foster and Rakhlin 2020).

    The learning rate is gamma sqrt(k) here, k being the number of eligible actions.
    """
    top, gaps = _top(scores, eligible)
    k = scores.shape[1] if eligible is None else eligible.sum(axis=1, keepdims=True)
    shares: Floats = 1.0 / (k + gamma * np.sqrt(k) * gaps)
    if eligible is not None:
        shares *= eligible
    rest = 1.0 - shares.sum(axis=1, keepdims=True)
    shares += top * (rest / top.sum(axis=1, keepdims=True))
    return shares


def most_often(draws: Floats, eligible: Bools | None) -> Floats:
    """Return how often each action scores highest over draws of shape (n, samples, k)."""
    if eligible is not None:
        draws = np.where(eligible[:, None, :], draws, -np.inf)
    shares: Floats = best(draws.reshape(-1, draws.shape[2]), None).reshape(draws.shape).mean(axis=1)
    return shares


def _top(scores: Floats, eligible: Bools | None) -> tuple[Bools, Floats]:
    if eligible is not None:
        scores = np.where(eligible, scores, -np.inf)
    highest = scores.max(axis=1, keepdims=True)
    gaps: Floats = highest - scores
    top: Bools = gaps <= TIE * np.abs(highest)
    return top, gaps
