"""Measures of decisions from their interactions: rates and amounts that guards look at."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from shared.applications.contract import Indices, Numbers
from shared.applications.settings import MeasureSettings

VALUE = "value"


def measured(
    measures: Sequence[MeasureSettings], interactions: pl.DataFrame, owner: Indices, n: int
) -> dict[str, Numbers]:
    """Each measure of n decisions, (n,), by name; NaN where a decision has no such amount.

    Row i of `interactions` (the columns of `INTERACTION_COLUMNS`) belongs to decision owner[i] of 0..n-1.
    """
    return {each.name: _measure(each, interactions, owner, n) for each in measures}


def _measure(measure: MeasureSettings, interactions: pl.DataFrame, owner: Indices, n: int) -> Numbers:
    chosen = interactions["type"].is_in(measure.types).to_numpy()
    if measure.attribute is None:
        return (np.bincount(owner[chosen], minlength=n) > 0).astype(np.float64)
    amounts = _amounts(measure.attribute, interactions.filter(chosen))
    known = np.isfinite(amounts)
    largest = np.full(n, -np.inf)
    np.maximum.at(largest, owner[chosen][known], amounts[known])
    return np.where(np.isfinite(largest), largest, np.nan)


def _amounts(name: str, interactions: pl.DataFrame) -> Numbers:
    if name == VALUE:
        found = interactions[VALUE]
    else:
        of_name = pl.element().filter(pl.element().struct.field("name") == name).struct.field("number")
        found = interactions.select(pl.col("attributes").list.eval(of_name).list.first()).to_series()
    return found.cast(pl.Float64).fill_null(float("nan")).to_numpy()
