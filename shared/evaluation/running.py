"""Evaluating a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shared.applications.outcomes import Metric
from shared.core.estimators.evaluation import Evaluation
from shared.core.estimators.settings import Settings
from shared.evaluation.reading import LogFile
from shared.evaluation.study import Study


def evaluate_file(path: Path, settings: Settings, baseline: str | None = None) -> Evaluation:
    """Evaluate a file; `baseline` names the column of a baseline policy's propensities.

    Raises BadLog, OSError, and ValueError for an estimator that the file does not allow.
    """
    return study_file(path, settings, baseline).evaluation


def study_file(
    path: Path, settings: Settings, baseline: str | None = None, outcomes: Sequence[Metric] = ()
) -> Study:
    """The same with what a report shows; `outcomes` are metrics made of columns, told beside."""
    metrics = [*(guard.name for guard in settings.guards), *settings.told]
    settings = replace(settings, told=[*settings.told, *(each.name for each in outcomes)])
    file = LogFile(path, metrics=metrics, baseline=baseline, outcomes=outcomes, seed=settings.seed)
    return Study(
        file.chunks(),
        settings,
        models=file.models,
        clustered=file.clustered,
        baseline=baseline is not None,
    )
