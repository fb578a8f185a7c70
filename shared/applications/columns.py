"""Attributes of many interactions as columns: one entry for each row, without a loop over rows."""

import numpy as np
import polars as pl

from shared.applications.contract import Indices, Numbers


class AttributeColumns:
    """The attributes of the rows of `interactions`, by name; of a name given twice, the last value counts.

    What is out of its range counts as absent: rewards are functions of the log, which holds what any producer
    wrote.
    """

    def __init__(self, interactions: pl.DataFrame) -> None:
        self.rows = len(interactions)
        long = interactions.select(pl.int_range(pl.len()).alias("row"), "attributes").explode("attributes")
        self._long = long.drop_nulls("attributes").unnest("attributes")

    def numbers(
        self, name: str, low: float = -np.inf, high: float = np.inf, *, whole: bool = False
    ) -> Numbers:
        """Finite numbers within [low, high], shape (rows,); NaN where there is none."""
        mine = self._long.filter((pl.col("name") == name) & pl.col("number").is_finite())
        values, at = mine["number"].to_numpy(), mine["row"].to_numpy()
        good = (values >= low) & (values <= high)
        if whole:
            good &= values == np.floor(values)
        found = np.full(self.rows, np.nan)
        found[at[good]] = values[good]
        return found

    def texts(self, name: str) -> list[str | None]:
        """Texts, one for each row; None where there is none."""
        mine = self._long.filter((pl.col("name") == name) & pl.col("text").is_not_null())
        found: list[str | None] = [None] * self.rows
        for at, text in mine.select("row", "text").iter_rows():
            found[at] = text
        return found


def latest(values: Numbers, owner: Indices, n: int) -> Numbers:
    """The last of each owner's numbers that is one, shape (n,); NaN for an owner without any."""
    found = np.full(n, np.nan)
    known = ~np.isnan(values)
    # Of an index that stands twice, numpy leaves the last value.
    found[owner[known]] = values[known]
    return found


def totals(values: Numbers, owner: Indices, n: int) -> Numbers:
    """The sum of each owner's numbers in the order of the rows, shape (n,)."""
    return np.bincount(owner, values, minlength=n).astype(np.float64)
