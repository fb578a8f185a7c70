"""Propensities of a log that several policies wrote."""

import numpy as np

from shared.core.arrays import Floats


def balanced(propensities: Floats, decisions: Floats) -> Floats:
    """Return the mixture's propensity of each logged action: the balance heuristic (Veach and Guibas 1995;
    for logged bandits Agarwal, Basu, Schnabel and Joachims 2017).

    Weighting by the mixture instead of by whichever policy happened to act never raises the variance beyond
    what sampling the mixture would have, and needs support of the mixture only.

    Args:
        propensities: (n, k), probability that each of k logging policies gives the logged action.
        decisions: (k,), how many of the log's decisions each policy made.

    Raises ValueError if shapes differ or no decision was made.
    """
    if propensities.ndim != 2 or propensities.shape[1:] != decisions.shape:
        raise ValueError(f"propensities {propensities.shape} do not go with decisions {decisions.shape}")
    total = float(decisions.sum())
    if not total > 0 or (decisions < 0).any():
        raise ValueError("the policies' numbers of decisions must be at least zero, one of them above it")
    return np.asarray(propensities @ (decisions / total))
