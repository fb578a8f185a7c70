"""What a kernel's blur costs an estimate: the first order is made up for, the next one told.

Where the policy's vectors are best at a kink (a distance, a threshold), the bias grows with the bandwidth,
and stays beside the standard error whatever bandwidth there is. A kernel twice as wide has twice as much of
it, so that twice one estimate less the other is free of it (the generalised jackknife, Schucany and Sommers
1977). The bias of what is smooth grows with the square; of that, twice as much is left, with the other sign.
"""

from collections.abc import Iterator

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.log import Logged
from shared.core.estimators.units import Units

WIDENED = 2.0
"""Factor between the two kernels."""


def sharpened(narrow: Floats, wide: Floats) -> Floats:
    """Return the doubly robust estimate's terms, or sums of them, without the bias of first order."""
    return np.asarray((WIDENED * narrow - wide) / (WIDENED - 1))


def smoothing_reasons(narrow: Logged, wide: Logged, limits: Limits) -> Iterator[Reason]:
    """Yield the bias that is left of the estimate, as far as its change under the wider kernel tells."""
    one, other = (_terms(each, narrow.cluster) for each in (narrow, wide))
    yield from blurred(one["rows"], one["value"], other["value"], limits)


def blurred(rows: Floats, narrow: Floats, wide: Floats, limits: Limits) -> Iterator[Reason]:
    """Yield the same from units' numbers of decisions, and their sums under both kernels, (m,) each.

    A bias of second order changes by `WIDENED`^2 - 1 = 3 times itself, and `sharpened` leaves twice as much.
    The change's own variance is taken off its square, as `tuning` does. Bias counts in standard errors: an
    interval of level 95 % that is off by .75 of them covers in 88 %.
    """
    sharp, change = sharpened(narrow, wide), wide - narrow
    error, chance = _variance(sharp, rows), _variance(change, rows)
    if not error > 0:
        return
    apart = float(change.sum() / rows.sum())
    bias = WIDENED * max(0.0, apart**2 - chance) ** 0.5 / (WIDENED**2 - 1)
    share = bias / error**0.5
    if share > limits.smoothing_bias:
        detail = (
            f"a kernel {WIDENED:g} times as wide changes the estimate by {apart:.4g}, so its bias is about "
            f"{bias:.2g}: this many standard errors; a narrower bandwidth needs more decisions"
        )
        yield Reason("smoothing-bias", share, limits.smoothing_bias, detail)


def _terms(log: Logged, cluster: np.ndarray | None) -> dict[str, Floats]:
    q_logged, q_target = log.models
    columns = {"value": np.asarray(q_target + log.weight * (log.reward - q_logged))}
    units = Units(columns)
    units.add(columns, cluster)
    return units.columns()


def _variance(values: Floats, rows: Floats) -> float:
    """Of the mean over rows, from units' sums."""
    influence = (values - values.sum() / rows.sum() * rows) / rows.sum()
    return float(influence @ influence)
