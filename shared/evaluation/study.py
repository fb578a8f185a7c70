"""One pass over a log: its summary, and what a report shows beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.core.estimators.evaluation import evaluate
from shared.core.estimators.log import Logged
from shared.core.estimators.registry import one_step
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import Summary
from shared.evaluation.segments import Segments
from shared.evaluation.timeline import Timeline


@dataclass(frozen=True)
class Chunk:
    """Some rows of a log, in order."""

    log: Logged
    segments: Sequence[str] | None = None


class Study:
    """An evaluation with what its report shows: weights, the course over the log, segments.

    Args:
        chunks: the log, in order; all bring the same columns.
        settings: how to evaluate it; the metrics of guards, and those told, are among the logs' own.
        models: whether logs bring a reward model's predictions.
        clustered: whether they bring subjects.
        baseline: whether they bring a baseline policy's propensities.

    Raises ValueError if there are no rows, or for an estimator that the log does not allow.
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        settings: Settings,
        *,
        models: bool = False,
        clustered: bool = False,
        baseline: bool = False,
    ) -> None:
        self.summary = Summary(
            one_step(models=models),
            metrics=[*(guard.name for guard in settings.guards), *settings.told],
            baseline=baseline,
            clustered=clustered,
            seed=settings.seed,
        )
        self.timeline, self.segments = Timeline(), Segments()
        for chunk in chunks:
            self.summary.add(chunk.log)
            self.timeline.add(chunk.log)
            if chunk.segments is not None:
                self.segments.add(chunk.log, chunk.segments)
        self.evaluation = evaluate(self.summary, settings)
