"""Predicted against realised: by how much later intervals are widened when earlier ones missed."""

import math
from collections.abc import Iterable
from statistics import NormalDist

from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.confidence_sequences import asymptotic_half_width


def standard_error(interval: Interval, alpha: float) -> float:
    """Return the standard error that a normal interval of level 1 - alpha claims."""
    return (interval.high - interval.low) / (2 * NormalDist().inv_cdf(1 - alpha / 2))


def sequence_error(interval: Interval, count: float, alpha: float, tuned_at: float) -> float:
    """Return the standard error behind an asymptotic confidence sequence after `count` values."""
    half = asymptotic_half_width(1.0, count, alpha, tuned_at) * math.sqrt(count)
    return (interval.high - interval.low) / (2 * half)


def standardised_miss(predicted: float, predicted_error: float, realised: float, error: float) -> float:
    """Return how many standard errors, of both together, a prediction was off; 0 where both are exact and
    equal, infinite where exact ones differ."""
    both = math.hypot(predicted_error, error)
    if both > 0:
        return (realised - predicted) / both
    return 0.0 if realised == predicted else math.inf


def widening(misses: Iterable[float]) -> float:
    """Return the factor for the next intervals: the root mean square of standardised misses, at least 1.

    Where intervals are right, misses are standard normal and their mean square is 1; where they are too short
    by a factor, it is that factor squared. Below 1 would say that intervals are too long, which does no harm
    and is not made up for. An infinite miss, which no factor makes good, counts as none.
    """
    squares = [miss * miss for miss in misses if math.isfinite(miss)]
    return max(1.0, math.sqrt(sum(squares) / len(squares))) if squares else 1.0
