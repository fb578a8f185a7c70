"""An application's metrics in a file whose columns are the components of its rewards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from shared.applications.outcomes import Metric, metrics_of
from shared.core.arrays import Floats
from shared.evaluation.reading import ROWS, BadLog, scanned


def told(path: Path, application: str) -> list[Metric]:
    """The metrics of which a file has all components, and that every row tells.

    Reads those columns once. Raises BadLog if it tells none of them, OSError.
    """
    scan, names = scanned(path)
    every = metrics_of(application)
    found = [each for each in every if set(each.components) <= set(names)]
    columns = list(dict.fromkeys(name for each in found for name in each.components))
    if columns:
        for frame in scan.select(columns).collect_batches(chunk_size=ROWS):
            values = components(frame, columns)
            found = [each for each in found if np.isfinite(each.of(values)).all()]
    if not found:
        wanted = sorted({name for each in every for name in each.components})
        raise BadLog(
            f"{path}: no metric of {application} can be told; "
            f"their components are {', '.join(wanted) or 'none'}"
        )
    return found


def components(frame: pl.DataFrame, columns: list[str]) -> dict[str, Floats]:
    """Columns as numbers, NaN where they are none."""
    cast = frame.select(pl.col(columns).cast(pl.Float64, strict=False).fill_null(float("nan")))
    return {name: cast[name].to_numpy() for name in columns}
