"""What tests of variants show, worked out of the archive: each decision once, at its latest revision."""

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from prometheus_client import Gauge

from services.trainer.settings import TrainerSettings
from shared.applications.contract import Application
from shared.applications.experiments import experiment_of
from shared.applications.settings import ExperimentSettings
from shared.archive.archive import Archive
from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Interval
from shared.core.experiments.assignment import Experiment
from shared.core.experiments.comparing import VERDICTS, Standing, standings
from shared.core.rollout.arms import Arm, bucket
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics

METRICS = ("reward", "positive")
"""The reward, and the share of decisions whose reward is above 0."""
_COLUMNS = ["offset", "policy", "subject_id", "action", "reward", "previous_reward", "revision"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figures:
    """Metric → variant → what is known of it."""

    application: str
    experiment: Experiment
    standings: Mapping[str, Mapping[str, Standing]]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "application": self.application,
            "experiment": self.experiment.name,
            "subjects": self.experiment.subjects,
            "control": self.experiment.control,
            "variants": {
                name: {
                    "share": share,
                    "decisions": self.standings["reward"][name].decisions,
                    **{metric: _told(each[name]) for metric, each in self.standings.items()},
                }
                for name, share in self.experiment.shares.items()
            },
        }


class Sums:
    """Of one application's test; takes in what was archived since the last time."""

    def __init__(self, application: Application, told: ExperimentSettings, archive: Archive) -> None:
        experiment = experiment_of(application)
        assert experiment is not None
        self.experiment, self._application, self._settings = experiment, application.name, told
        self._archive = archive
        self._arms = {name: Arm(len(METRICS)) for name in experiment.shares}
        self._seen: dict[int, int] = {}

    def look(self) -> Figures:
        """Take in the new rewards; what is known now. Raises OSError."""
        parts = [
            part
            for part in self._archive.parts(self._application)
            if part.next > self._seen.get(part.partition, 0)
        ]
        loaded = [self._archive.load(part, _COLUMNS) for part in parts]  # all of them, or nothing is counted
        for part, rows in zip(parts, loaded, strict=True):
            self._add(rows.filter(pl.col("offset") >= self._seen.get(part.partition, 0)))
        for part in parts:
            self._seen[part.partition] = max(part.next, self._seen.get(part.partition, 0))
        told = self._settings
        found = {
            name: standings(
                self._arms,
                self.experiment.shares,
                self.experiment.control,
                metric=place,
                alpha=told.alpha,
                tuned_at=told.tuned_at,
            )
            for place, name in enumerate(METRICS)
        }
        return Figures(self._application, self.experiment, found)

    def _add(self, rows: pl.DataFrame) -> None:
        mine = rows.filter(pl.col("policy") == self.experiment.policy)
        for (name,), part in mine.group_by("action"):
            if (arm := self._arms.get(str(name))) is None:
                continue
            groups = np.array([bucket(each) for each in part["subject_id"]], np.int64)
            first = (part["revision"] == 0).to_numpy()
            values, before = _metrics(part["reward"]), _metrics(part["previous_reward"])
            arm.add_all(groups[first], values[first])
            changes = (values - before)[~first].tolist()
            for group, change in zip(groups[~first].tolist(), changes, strict=True):
                for metric, difference in enumerate(change):
                    arm.correct(group, metric, difference)


class Experiments:
    """The tests of all applications, looked at again and again; `figures` are replaced as a whole."""

    def __init__(
        self,
        settings: TrainerSettings,
        applications: Mapping[str, Application],
        archive: Archive,
        metrics: Metrics,
        health: Health,
    ) -> None:
        told = {name: each.settings.experiment for name, each in applications.items()}
        self._sums = {
            name: Sums(applications[name], each, archive) for name, each in told.items() if each is not None
        }
        self._metrics, self._every = metrics, settings.watch_every.total_seconds()
        self._loop = health.loop("experiments", limit=10 * self._every + 60)
        self.figures: dict[str, Figures] = {}

    async def run(self) -> None:
        """Until cancelled. Raises OSError."""
        while True:
            await asyncio.to_thread(self.look)
            self._loop.beat()
            await asyncio.sleep(self._every)

    def look(self) -> None:
        """Once. Raises OSError."""
        for name, sums in self._sums.items():
            try:
                found = sums.look()
            except FileNotFoundError as error:  # rewritten or removed meanwhile: there again at the next look
                log.info("experiment of %s: %s", name, error)
                continue
            self.figures = self.figures | {name: found}
            for metric, each in found.standings.items():
                self._show(name, metric, each)

    def _show(self, application: str, metric: str, found: Mapping[str, Standing]) -> None:
        shown = self._metrics
        for variant, each in found.items():
            labels = (application, variant, metric)
            shown.experiment_decisions.labels(application, variant).set(each.decisions)
            _set(shown.experiment_mean.labels(*labels), each.mean)
            _set(shown.experiment_mean_low.labels(*labels), each.interval.low)
            _set(shown.experiment_mean_high.labels(*labels), each.interval.high)
            if each.difference is not None:
                _set(shown.experiment_difference.labels(*labels), each.difference.value)
                _set(shown.experiment_difference_low.labels(*labels), each.difference.interval.low)
                _set(shown.experiment_difference_high.labels(*labels), each.difference.interval.high)
            for verdict in VERDICTS:
                shown.experiment_verdict.labels(*labels, verdict).set(verdict == each.verdict)


def _set(gauge: Gauge, value: float | None) -> None:
    gauge.set(math.nan if value is None else value)


def _metrics(rewards: pl.Series) -> Floats:
    """(n, metrics)."""
    values = rewards.to_numpy()
    return np.stack([values, (values > 0).astype(np.float64)], axis=1)


def _told(found: Standing) -> dict[str, Any]:
    difference = found.difference
    return {
        "mean": found.mean,
        "interval": _ends(found.interval),
        "difference": None if difference is None else difference.value,
        "difference_interval": None if difference is None else _ends(difference.interval),
        "p_value": None if difference is None else difference.p_value,
        "verdict": found.verdict,
    }


def _ends(interval: Interval) -> Sequence[float] | None:
    """None for an interval that says nothing: JSON has no infinity."""
    ends = [interval.low, interval.high]
    return ends if all(map(math.isfinite, ends)) else None
