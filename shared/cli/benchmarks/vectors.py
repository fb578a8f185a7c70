"""How often intervals of policies that give vectors hold the truth, which is known here.

Two numbers around a context, and the seven weights of simulated searches, with densities that were logged and
with estimates of them. What is refused claims nothing, and counts by its reasons.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np

from shared.cli.benchmarks import vector_logs
from shared.cli.benchmarks.machine import machine
from shared.cli.output import say
from shared.core.estimators.continuous.smoothing import WIDENED, smoothing_reasons
from shared.core.estimators.continuous.weighing import Weighing
from shared.core.estimators.settings import Settings
from shared.evaluation.study import Chunk, Study

SETTINGS = Settings(resamples=500)
UNSETTLED = frozenset({"interval-holds-baseline", "worse-than-baseline"})
WORLDS = {
    "two numbers": vector_logs.smooth,
    "two numbers, kinked rewards": vector_logs.kinked,
    "seven weights": vector_logs.ranking,
}


@dataclass(frozen=True)
class Job:
    """One simulated log."""

    world: str
    rows: int
    logged: bool
    """Whether it has densities."""
    seed: int = 0

    def __str__(self) -> str:
        density = "logged" if self.logged else "estimated"
        return f"{self.world}, {self.rows} decisions, {density} density"


@dataclass(frozen=True)
class Trial:
    """What was made of it."""

    doubts: frozenset[str]
    covered: bool
    size: float
    """Effective."""


def run(logs: int = 400, rows: int = 4_000, search_logs: int = 20, searches: int = 100_000) -> dict[str, Any]:
    """Measure; `searches` are those of the longest logs of seven weights. Of logs whose densities have to be
    estimated there are fewer: that takes the time."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of each process: there are as many as cores
    on, figures = machine(), dict[str, Any]()
    plan = [
        (Job("two numbers", rows, True), logs),
        (Job("two numbers", rows, False), -(-logs // 3)),
        (Job("two numbers, kinked rewards", rows, True), logs),
        *((Job("seven weights", -(-searches // part), True), search_logs) for part in (25, 5, 1)),
        (Job("seven weights", -(-searches // 25), False), search_logs),
    ]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for job, number in plan:
            say(f"{number} logs of {job}")
            found = list(pool.map(trial, [replace(job, seed=seed) for seed in range(number)]))
            figures |= {f"{job}: {name}": value for name, value in _told(found).items()}
    return {"benchmark": "vectors", "figures": figures, "peers": {}, "ratios": {}, "machine": on}


def trial(job: Job) -> Trial:
    """Evaluate one log."""
    world = WORLDS[job.world]()
    log = world.draw(np.random.default_rng(job.seed), job.rows)
    weighing = Weighing(log if job.logged else replace(log, density=None))
    weighed = weighing.weighed()
    found = Study([Chunk(weighed)], SETTINGS, models=True).evaluation
    reasons = [
        *found.reasons,
        *weighing.support_reasons(SETTINGS.limits),
        *smoothing_reasons(weighed, weighing.weighed(WIDENED), SETTINGS.limits),
    ]
    ends = found.estimates["dr"].interval
    return Trial(
        frozenset(each.name for each in reasons) - UNSETTLED,
        ends.low <= world.truth <= ends.high,
        found.effective_sample_size,
    )


def _told(found: Sequence[Trial]) -> dict[str, Any]:
    answered = [each for each in found if not each.doubts]
    reasons = Counter(name for each in found for name in each.doubts)
    return {
        "answered": f"{len(answered)} of {len(found)}",
        "covers": round(float(np.mean([each.covered for each in answered])), 3) if answered else None,
        "covers, refused or not": round(float(np.mean([each.covered for each in found])), 3),
        "effective sample size": round(float(np.median([each.size for each in found])), 1),
        "refused for": dict(reasons.most_common()),
    }
