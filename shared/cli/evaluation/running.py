"""One pass over a file: its summary, and what a report shows beside it."""

from __future__ import annotations

from pathlib import Path

from shared.cli.evaluation.reading import LogFile
from shared.cli.evaluation.segments import Segments
from shared.cli.evaluation.timeline import Timeline
from shared.core.estimators.evaluation import Evaluation, evaluate
from shared.core.estimators.registry import one_step
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import Summary


def evaluate_file(path: Path, settings: Settings, baseline: str | None = None) -> Evaluation:
    """Evaluate a file; `baseline` names the column of a baseline policy's propensities.

    Raises BadLog, OSError, and ValueError for an estimator that the file does not allow.
    """
    return Study(path, settings, baseline).evaluation


class Study:
    """An evaluation with what its report shows: weights, the course over the log, segments."""

    def __init__(self, path: Path, settings: Settings, baseline: str | None = None) -> None:
        metrics = [guard.name for guard in settings.guards]
        file = LogFile(path, metrics=metrics, baseline=baseline, seed=settings.seed)
        self.summary = Summary(
            one_step(models=file.models),
            metrics=metrics,
            baseline=baseline is not None,
            clustered=file.clustered,
            seed=settings.seed,
        )
        self.timeline, self.segments = Timeline(), Segments()
        for chunk in file.chunks():
            self.summary.add(chunk.log)
            self.timeline.add(chunk.log)
            if chunk.segments is not None:
                self.segments.add(chunk.log, chunk.segments)
        self.evaluation = evaluate(self.summary, settings)
