"""An application's metrics of logged decisions: those that its components tell."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from services.evaluator.logs import components
from shared.applications.outcomes import metrics_of
from shared.core.arrays import Floats
from shared.core.estimators.limits import Reason


def told(frame: pl.DataFrame, application: str, guarded: Sequence[str]) -> dict[str, Floats]:
    """Metrics by name, (n,) each, NaN where a decision does not tell; those that are guarded are not among
    them."""
    return dict(_told(frame, application, guarded))


def _told(frame: pl.DataFrame, application: str, guarded: Sequence[str]) -> Iterator[tuple[str, Floats]]:
    for metric in metrics_of(application):
        if metric.name not in guarded:
            found = components(frame, metric.components)
            known = np.all([np.isfinite(each) for each in found.values()], axis=0)
            whole = {name: np.where(known, each, 0.0) for name, each in found.items()}
            yield metric.name, np.where(known, metric.of(whole), np.nan)


def whole(found: Mapping[str, Floats]) -> tuple[dict[str, Floats], tuple[Reason, ...]]:
    """The metrics that every decision tells, and why others are left out."""
    absent = {name: int((~np.isfinite(values)).sum()) for name, values in found.items()}
    reasons = tuple(
        Reason("untold-metric", float(count), 0.0, f"{name} is left out: {count} decisions do not tell it")
        for name, count in absent.items()
        if count
    )
    return {name: values for name, values in found.items() if not absent[name]}, reasons
