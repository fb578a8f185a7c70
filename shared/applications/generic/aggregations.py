"""Sums, means, extremes and ends of the rows of each owner, without a loop over owners."""

from collections.abc import Callable, Mapping

import numpy as np

from shared.applications.contract import Indices, Numbers

_Aggregate = Callable[[Numbers, Indices, Indices], Numbers]


def _reduce(operation: np.ufunc) -> _Aggregate:
    return lambda values, starts, counts: operation.reduceat(values, starts)


#: (values, first row of each group, rows of each group) → one number for each group.
AGGREGATES: Mapping[str, _Aggregate] = {
    "sum": _reduce(np.add),
    "mean": lambda values, starts, counts: np.add.reduceat(values, starts) / counts,
    "min": _reduce(np.minimum),
    "max": _reduce(np.maximum),
    "first": lambda values, starts, counts: values[starts],
    "last": lambda values, starts, counts: values[starts + counts - 1],
}


def aggregate(name: str, values: Numbers, owner: Indices, n: int, default: float) -> Numbers:
    """`name` of the values of each owner 0..n-1 (`owner` sorted); `default` for an owner without any.

    As in SQL, a row without a value (NaN; an infinity counts as none) is left out.
    """
    result = np.full(n, default)
    finite = np.isfinite(values)
    if not finite.all():
        values, owner = values[finite], owner[finite]
    if values.size:
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        counts = np.diff(starts, append=values.size)
        with np.errstate(over="ignore"):
            result[owner[starts]] = np.nan_to_num(AGGREGATES[name](values, starts, counts))
    return result
