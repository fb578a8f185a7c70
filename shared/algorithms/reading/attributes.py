"""Lists of {name, number, text} or {name, value} to columns."""

from collections.abc import Mapping
from typing import Any

import polars as pl


def pivoted(lists: pl.Series, columns: Mapping[str, Any], value: str | None = None) -> pl.DataFrame:
    """A column for each name, null where a row has none; of a name given twice, the last counts.

    Text columns take `text`, others `number`; or all take the field `value`.
    """
    rows = pl.DataFrame({"row": pl.int_range(len(lists), eager=True), "each": lists})
    long = rows.explode("each").drop_nulls("each").unnest("each")
    found = pl.DataFrame({"row": rows["row"]})
    for name, kind in columns.items():
        field = value or ("text" if kind == pl.String else "number")
        mine = long.filter(pl.col("name") == name).unique("row", keep="last", maintain_order=True)
        found = found.join(mine.select("row", pl.col(field).cast(kind).alias(name)), on="row", how="left")
    return found.sort("row").drop("row")
