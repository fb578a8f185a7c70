"""Empirical Bernstein intervals: no normal approximation, for values of known range."""

import math

from shared.core.estimators.bootstrap import Interval


def empirical_bernstein(
    mean: float, variance: float, count: int, span: float, alpha: float
) -> Interval | None:
    """Return the two-sided interval of a mean (Maurer and Pontil 2009, theorem 4, alpha / 2 on each side).

    Args:
        mean: of the values.
        variance: of the values, unbiased.
        count: how many independent values there are; None is returned for less than two.
        span: difference between the largest and the smallest value possible. The largest seen instead makes
            the interval approximate.
        alpha: 1 - level.
    """
    if count < 2:
        return None
    log = math.log(4.0 / alpha)
    half = math.sqrt(2.0 * variance * log / count) + 7.0 * span * log / (3.0 * (count - 1))
    return Interval(mean - half, mean + half)
