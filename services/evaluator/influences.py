"""Estimates from the sums of groups, and by how much each group moves them."""

from typing import NamedTuple

import numpy as np

from services.evaluator.sums import ROWS, WEIGHT, logged, weighted
from shared.core.arrays import Floats
from shared.core.estimators.continuous.smoothing import sharpened


class Target(NamedTuple):
    """An estimate of the candidate's own mean."""

    value: float
    moves: Floats
    """(groups,) by how much each moves it, to first order: its influence."""


def corrected(values: Floats, modelled: int) -> Floats:
    """(groups,) sums of what a model expects of the candidate, corrected by its weighted errors."""
    return np.asarray(values[weighted(modelled)] + values[logged(modelled + 1)])


def robust(narrow: Floats, wide: Floats, modelled: int) -> Target:
    """The doubly robust estimate, from sums under both kernels."""
    own, rows = sharpened(corrected(narrow, modelled), corrected(wide, modelled)), narrow[ROWS]
    value = float(own.sum() / rows.sum())
    return Target(value, (own - value * rows) / rows.sum())


def normalised(values: Floats, number: int) -> Target:
    """The self-normalised estimate."""
    own, weight = values[weighted(number)], values[WEIGHT]
    value = float(own.sum() / weight.sum())
    return Target(value, (own - value * weight) / weight.sum())


def variance(moves: Floats) -> float:
    """Return that of a statistic, from its groups' influences."""
    groups = len(moves)
    if groups < 2:
        return float("inf")
    return float(((moves - moves.mean()) ** 2).sum()) * groups / (groups - 1)
