"""Choosing a member of a family of estimators by its estimated mean squared error."""

from collections.abc import Sequence

import numpy as np

from shared.core.estimators.bootstrap import Columns, Statistic
from shared.core.estimators.contract import Estimator
from shared.core.estimators.log import Logged
from shared.core.estimators.summary import denominator, numerator

UNITS_COLUMN = "rows"


def ratio(estimator: Estimator[Logged], columns: Columns) -> Statistic:
    """Return the estimator as a statistic of sums."""
    over = denominator(estimator)
    over = over if over in columns else UNITS_COLUMN
    name = numerator(estimator)
    return lambda sums: sums[name] / sums[over]


def choose(family: Sequence[Estimator[Logged]], columns: Columns) -> Estimator[Logged]:
    """Return the member with the least variance + squared bias.

    The member with the largest parameter changes no weight, so the bias of another is its distance from that
    one; the distance's own variance is taken off its square, which is otherwise too large by as much.
    """
    if len(family) == 1:
        return family[0]
    unbiased = max(family, key=lambda each: each.parameter or 0.0)
    rows = float(columns[UNITS_COLUMN].sum())
    reference = _influence(unbiased, columns)

    def error(each: Estimator[Logged]) -> float:
        influence = _influence(each, columns)
        apart = abs(float(columns[numerator(each)].sum() - columns[numerator(unbiased)].sum())) / rows
        chance = float(((influence - reference) ** 2).sum())
        return float((influence**2).sum()) + max(0.0, apart**2 - chance)

    return min(family, key=error)


def _influence(estimator: Estimator[Logged], columns: Columns) -> np.ndarray:
    """(m,) each unit's share in the estimate's deviation: its squares sum to the variance."""
    rows, values = columns[UNITS_COLUMN], columns[numerator(estimator)]
    return np.asarray((values - values.sum() / rows.sum() * rows) / rows.sum())
