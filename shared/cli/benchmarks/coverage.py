"""How often intervals hold the truth: simulated logs of known value, and tests that are looked at all along.

Coverage is that of the 95 % bootstrap intervals which `streamwheel evaluate` prints, and of the difference
its verdict is read from. The direct method is left out: its interval covers what the model says, not what is.

Logs are refused by what the logging policy's distributions let expect, as the evaluator has them, and once
more as if only propensities were known, as in other people's files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import NormalDist
from typing import Any

import numpy as np

from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.simulated_logs import World
from shared.cli.output import say
from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.confidence_sequences import BernsteinSequence, asymptotic_half_width
from shared.core.estimators.evaluation import evaluate
from shared.core.estimators.registry import one_step
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import Summary
from shared.core.estimators.verdict import Verdict

WELL, BADLY = 0.15, (0.3, 0.5, 0.7, 1.0)
"""Contrasts of the two policies: from nearly every row counting to one in ten."""
WORLDS = 20
"""Of each contrast; logs take them in turn."""
LOGS, WELL_LOGS, ROWS, RESAMPLES = 500, 1_000, 2_000, 500
"""A thousand logs tell a coverage to within a percent and a half."""
SEARCH_LOGS, WORST_LOGS = 200, 1_500
"""Of each badly overlapped world of which most logs are not refused, to find the one with the least coverage,
and of that one anew: the least of many figures is low by chance alone."""
JUDGED = ("ips", "snips", "dr", "difference")
RUNS, LOOKS, BETWEEN, SHARE, CHANCE, ALPHA = 2_000, 100, 1_000, 0.1, 0.3, 0.05
"""Of the sequential tests: a canary of a tenth, equal to stable, looked at every thousand decisions."""
EXACT_RUNS, EXACT_BETWEEN = 400, 200
"""Of those of the exact sequence, which needs every value and not only sums."""


@dataclass(frozen=True)
class Trial:
    """One simulated log."""

    contrast: float
    world: int
    refused: bool
    refused_blindly: bool
    """Refused if only the propensities of what was chosen are known."""
    share: float
    """Effective share of its rows."""
    held: dict[str, bool]
    """Whether each interval held the truth."""


def run() -> dict[str, Any]:
    """Measure."""
    on = machine()
    figures: dict[str, Any] = {"logs": LOGS, "logs well overlapped": WELL_LOGS, "decisions of a log": ROWS}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:

        def trials(contrast: float, logs: int) -> list[Trial]:
            say(f"{logs} logs of contrast {contrast}")
            return list(pool.map(trial, [(contrast, seed) for seed in range(logs)], chunksize=25))

        well = trials(WELL, WELL_LOGS)
        badly = {contrast: trials(contrast, LOGS) for contrast in BADLY}
        every = [one for each in badly.values() for one in each]
        answered = _worlds([each for each in every if not each.refused], LOGS // WORLDS // 2)
        say(f"{SEARCH_LOGS} more logs of each of {len(answered)} worlds")

        def of_world(contrast: float, world: int, logs: range) -> list[Trial]:
            jobs = [(contrast, WORLDS * number + world) for number in logs]
            return [each for each in pool.map(trial, jobs, chunksize=25) if not each.refused]

        first = LOGS // WORLDS
        seen = {where: of_world(*where, range(first, first + SEARCH_LOGS)) for where in answered}
        where = min(seen, key=lambda each: min(_share(seen[each], name) for name in JUDGED))
        say(f"{WORST_LOGS} more logs of the worst of them, world {where[1]} of contrast {where[0]:g}")
        worst = of_world(*where, range(first + SEARCH_LOGS, first + SEARCH_LOGS + WORST_LOGS))
    for contrast, each in {WELL: well, **badly}.items():
        share = float(np.mean([one.share for one in each]))
        refused, blindly = (
            float(np.mean(found))
            for found in zip(*((one.refused, one.refused_blindly) for one in each), strict=True)
        )
        figures[f"contrast {contrast:g}, effective share {share:.2f}: refused"] = round(refused, 3)
        figures[f"contrast {contrast:g}: refused, propensities alone"] = round(blindly, 3)
    figures |= _covered("well overlapped", [each for each in well if not each.refused])
    figures |= _covered("badly overlapped", [each for each in every if not each.refused])
    figures |= _covered(
        "badly overlapped, propensities alone", [each for each in every if not each.refused_blindly]
    )
    figures["worlds badly overlapped and mostly not refused"] = len(answered)
    figures |= _covered("the worst of them", worst)
    say(f"{RUNS} tests of equal arms, {LOOKS} looks each")
    figures |= false_stops()
    return {"benchmark": "coverage", "figures": figures, "peers": {}, "ratios": {}, "machine": on}


def trial(job: tuple[float, int]) -> Trial:
    """Evaluate the log of a contrast and a seed."""
    contrast, seed = job
    world = World.of(contrast, seed=seed % WORLDS)
    summary = Summary(one_step())
    summary.add(world.log(ROWS, seed))
    found = evaluate(summary, Settings(resamples=RESAMPLES, seed=seed))
    summary.weights.foreseen = 0
    blindly = evaluate(summary, Settings(resamples=100))
    held = {name: _holds(each.interval, world.truth) for name, each in found.estimates.items()}
    held["difference"] = _holds(found.judgements[0].interval, world.truth - world.logged)
    refused, refused_blindly = (each.verdict == Verdict.REFUSED for each in (found, blindly))
    share = found.effective_sample_size / ROWS
    return Trial(contrast, seed % WORLDS, refused, refused_blindly, share, held)


def _holds(interval: Interval, value: float) -> bool:
    return interval.low <= value <= interval.high


def _covered(which: str, believed: Sequence[Trial]) -> dict[str, float]:
    figures: dict[str, float] = {f"{which}: logs not refused": len(believed)}
    return figures | {f"{which}: {name} covers": _share(believed, name) for name in JUDGED}


def _share(trials: Sequence[Trial], name: str) -> float:
    return round(float(np.mean([each.held[name] for each in trials])), 3)


def _worlds(trials: Sequence[Trial], least: int) -> list[tuple[float, int]]:
    """Contrasts and worlds of which there are more trials than so many."""
    found = Counter((each.contrast, each.world) for each in trials)
    return sorted(where for where, count in found.items() if count > least)


def false_stops() -> dict[str, float]:
    """Share of tests of two equal arms that say at some look that they differ."""
    draw = np.random.default_rng(0)
    sizes = np.cumsum(draw.binomial(BETWEEN, SHARE, (RUNS, LOOKS)), axis=1)
    totals = BETWEEN * np.arange(1, LOOKS + 1)
    others = totals - sizes
    won = np.cumsum(draw.binomial(np.diff(sizes, axis=1, prepend=0), CHANCE), axis=1)
    lost = np.cumsum(draw.binomial(np.diff(others, axis=1, prepend=0), CHANCE), axis=1)
    canary, stable = won / sizes, lost / others
    variance = canary * (1 - canary) / sizes + stable * (1 - stable) / others
    half = np.array(
        [
            [
                asymptotic_half_width(v * n, n, ALPHA, 5000.0)
                for v, n in zip(row.tolist(), totals.tolist(), strict=True)
            ]
            for row in variance
        ]
    )
    apart = np.abs(canary - stable)
    z = NormalDist().inv_cdf(1 - ALPHA / 2)
    return {
        "false stops, confidence sequence": float(np.mean((apart > half).any(axis=1))),
        "false stops, exact confidence sequence": _exact_false_stops(draw),
        "false stops, repeated test": float(np.mean((apart > z * np.sqrt(variance)).any(axis=1))),
    }


def _exact_false_stops(draw: np.random.Generator) -> float:
    """The same of the empirical Bernstein sequence, over inverse-propensity differences."""
    stopped = 0
    for _ in range(EXACT_RUNS):
        sequence = BernsteinSequence(-1 / (1 - SHARE), 1 / SHARE, ALPHA)
        stopped += any(not _holds(_look(sequence, draw), 0.0) for _ in range(LOOKS))
    return stopped / EXACT_RUNS


def _look(sequence: BernsteinSequence, draw: np.random.Generator) -> Interval:
    canary = draw.random(EXACT_BETWEEN) < SHARE
    reward: Floats = (draw.random(EXACT_BETWEEN) < CHANCE).astype(np.float64)
    sequence.add(reward * np.where(canary, 1 / SHARE, -1 / (1 - SHARE)))
    return sequence.interval()
