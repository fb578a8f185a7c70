"""Whether a kernel blurs the policy so much that the estimate is of another one."""

from collections.abc import Iterator

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.log import Logged
from shared.core.estimators.units import Units

WIDENED = 2.0
"""Factor between the two kernels that are compared: the bias of a kernel grows with its square."""


def smoothing_reasons(narrow: Logged, wide: Logged, limits: Limits) -> Iterator[Reason]:
    """Yield the bias of the doubly robust estimate that its change under a `WIDENED` kernel speaks of."""
    one, other = (_terms(each, narrow.cluster) for each in (narrow, wide))
    yield from blurred(one["rows"], one["value"], other["value"], limits)


def blurred(rows: Floats, narrow: Floats, wide: Floats, limits: Limits) -> Iterator[Reason]:
    """Yield the same from units' numbers of decisions, and their sums under both kernels, (m,) each.

    To leading order the bias is proportional to the bandwidth's square, so the change is `WIDENED`^2 - 1 = 3
    times as large. The change's own variance is taken off its square, as `tuning` does. Bias counts in
    standard errors: an interval of level 95 % that is off by .75 of them covers in 88 %.
    """
    value, wider = (float(each.sum() / rows.sum()) for each in (narrow, wide))
    error, chance = _variance(narrow, rows), _variance(wide - narrow, rows)
    bias = max(0.0, (wider - value) ** 2 - chance) ** 0.5 / (WIDENED**2 - 1)
    if not error > 0:
        return
    share = bias / error**0.5
    if share > limits.smoothing_bias:
        detail = (
            f"the estimate is {value:.4g}, and {wider:.4g} under a kernel {WIDENED:g} times as wide: its "
            f"bias is about {bias:.2g}, this many standard errors; a narrower bandwidth needs more decisions"
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
