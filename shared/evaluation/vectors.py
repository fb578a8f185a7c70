"""A file of decisions whose action is a vector of numbers, and what a policy would have given instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from shared.core.arrays import Floats
from shared.core.estimators.continuous.smoothing import WIDENED, smoothing_reasons
from shared.core.estimators.continuous.weighing import Density, VectorLog, Weighing
from shared.core.estimators.limits import Reason
from shared.core.estimators.settings import Settings
from shared.core.estimators.verdict import Verdict
from shared.evaluation.reading import CLUSTER, SEGMENT, BadLog, scanned, sentence
from shared.evaluation.study import Chunk, Study

ACTION, TARGET, CONTEXT, DENSITY = "action_", "target_", "context_", "density"
"""What columns begin with: the vector given, the one that the policy would have given, the context."""
MOST_ROWS = 1_000_000
"""Rows are held in memory, unlike those of a log with propensities: some kilobytes each at the widest."""


@dataclass(frozen=True, eq=False)
class VectorStudy:
    """A study whose weights rest on a density; the density's own refusals are in its evaluation."""

    study: Study
    density: Density


def has_vectors(path: Path) -> bool:
    """Whether a file's actions are vectors. Raises BadLog, OSError."""
    _, names = scanned(path)
    return "propensity" not in names and any(name.startswith(ACTION) for name in names)


def study_vectors(path: Path, settings: Settings, bandwidth: float | None = None) -> VectorStudy:
    """Evaluate a file. Raises BadLog, OSError, and ValueError for what the file does not allow."""
    metrics = [*(guard.name for guard in settings.guards), *settings.told]
    log, segments = _read(path, metrics, settings.seed)
    try:
        weighing = Weighing(log, bandwidth=bandwidth, seed=settings.seed)
    except ValueError as error:
        raise BadLog(f"{path}: {error}") from None
    weighed = weighing.weighed()
    study = Study([Chunk(weighed, segments)], settings, models=True, clustered=log.cluster is not None)
    doubts = [
        *weighing.support_reasons(settings.limits),
        *smoothing_reasons(weighed, weighing.weighed(WIDENED), settings.limits),
    ]
    found, density = study.evaluation, weighing.density
    basis = "estimated-density" if density.estimated else "logged-density"
    study.evaluation = replace(
        found,
        verdict=Verdict.REFUSED if doubts else found.verdict,
        reasons=[*doubts, *found.reasons, Reason(basis, density.bandwidth, None, str(density))],
    )
    return VectorStudy(study, density)


def _read(path: Path, metrics: Sequence[str], seed: int) -> tuple[VectorLog, list[str] | None]:
    scan, names = scanned(path)
    actions = [name.removeprefix(ACTION) for name in names if name.startswith(ACTION)]
    contexts = [name for name in names if name.startswith(CONTEXT)]
    taken, wanted = ([f"{prefix}{name}" for name in actions] for prefix in (ACTION, TARGET))
    numbers = ["reward", *taken, *wanted, *contexts, *metrics]
    if missing := [name for name in numbers if name not in names]:
        raise BadLog(f"{path}: column {missing[0]} is missing; the columns are: {', '.join(names)}")
    try:
        frame = scan.head(MOST_ROWS + 1).collect()
    except pl.exceptions.PolarsError as error:
        raise BadLog(f"{path}: {sentence(error)}") from None
    if not frame.height:
        raise BadLog(f"{path}: the file has a header but no rows")
    if frame.height > MOST_ROWS:
        raise BadLog(f"{path}: more than {MOST_ROWS:,} rows; vectors are evaluated on at most as many")
    values = {name: _numbers(path, frame, name) for name in numbers}
    log = VectorLog(
        contexts=_matrix(values, contexts, frame.height),
        taken=_matrix(values, taken, frame.height),
        wanted=_matrix(values, wanted, frame.height),
        reward=values["reward"],
        density=_densities(path, frame) if DENSITY in names else None,
        cluster=_subjects(path, frame, seed) if CLUSTER in names else None,
        metrics={name: values[name] for name in metrics},
    )
    if SEGMENT not in names:
        return log, None
    return log, frame[SEGMENT].cast(pl.String).fill_null("none").to_list()


def _matrix(values: dict[str, Floats], names: Sequence[str], rows: int) -> Floats:
    return np.stack([values[name] for name in names], axis=1) if names else np.zeros((rows, 0))


def _numbers(path: Path, frame: pl.DataFrame, name: str, wanted: str = "a finite number") -> Floats:
    found = frame[name].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    _check(path, frame, name, np.isfinite(found), wanted)
    return np.asarray(found)


def _densities(path: Path, frame: pl.DataFrame) -> Floats:
    """NaN where a row has none: then it is estimated."""
    given = frame[DENSITY].cast(pl.String)
    absent = (given.is_null() | (given == "")).to_numpy()
    found = frame[DENSITY].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    sound = absent | (np.isfinite(found) & (found > 0))
    _check(path, frame, DENSITY, sound, "a finite number above zero, or empty")
    return np.where(absent, np.nan, found)


def _subjects(path: Path, frame: pl.DataFrame, seed: int) -> np.ndarray:
    _check(path, frame, CLUSTER, frame[CLUSTER].is_not_null().to_numpy(), "given")
    return np.asarray(frame[CLUSTER].hash(seed).to_numpy(), np.uint64)


def _check(path: Path, frame: pl.DataFrame, name: str, sound: np.ndarray, wanted: str) -> None:
    if not sound.all():
        row = int(np.argmin(sound))
        value = frame[name][row]
        shown = "nothing" if value is None else value
        raise BadLog(f"{path}: column {name}, row {row + 1}: {shown}; it must be {wanted}")
