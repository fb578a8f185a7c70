"""Simulated rollouts of planted candidates, through the guards and the state machine that the deployer runs.

Each candidate has passed its evaluation, rightly or not. Subjects are assigned by the stage's share, guards
look every few hundred decisions, and no stage waits for time: nothing but guards keeps a candidate back.
The peer goes through the same stages with GrowthBook's sequential test in place of the guards': a two-sided
asymptotic confidence sequence, tuned at 5,000 (docs.growthbook.io/statistics/sequential).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.rollouts_picture import Line, picture
from shared.cli.output import say
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.rollout.arms import BUCKETS, Arm
from shared.core.rollout.facts import Health, Observe, State, Submit
from shared.core.rollout.guards import Assessment, Guard, Plan, assess, plan_of
from shared.core.rollout.machine import step
from shared.core.rollout.settings import RolloutSettings, Stage

CHANCE = 0.3
"""Of reward 1 under stable."""
EFFECTS = {"bad": -0.2, "neutral": 0.0, "good": 0.1}
"""Of candidates, as a share of stable's chance."""
ROLLOUTS, LOOK, LONGEST = 200, 250, 60_000
"""Rollouts of each kind; decisions between looks; decisions after which a rollout is given up."""
ALPHA, ALPHAS = 0.05, (0.01, 0.02, 0.05, 0.1, 0.2)
GROWTHBOOK_TUNING = 5_000.0
STAGES = tuple(
    Stage(name, share, 0.0, samples)
    for name, share, samples in (
        ("shadow", 0.0, 0),
        ("10 %", 0.1, 500),
        ("50 %", 0.5, 500),
        ("100 %", 1.0, 2_000),
        ("watch", 1.0, 2_000),
    )
)
SETTINGS = RolloutSettings(stages=STAGES, longest_s=LONGEST)
"""A decision comes every second."""
GUARDS = (Guard("reward"),)
PICTURE = Path(".state/benchmarks/rollouts.svg")


@dataclass(frozen=True)
class Job:
    """One rollout to simulate."""

    kind: str
    alpha: float
    seed: int
    peer: bool = False


@dataclass(frozen=True)
class Ending:
    """What became of a rollout."""

    what: str
    furthest: float
    """Largest share that the candidate had."""
    decisions: int
    """Until it ended, or was all that decides."""
    regret: float
    """Reward that subjects of the candidate missed."""


def run() -> dict[str, Any]:
    """Measure."""
    on = machine()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:

        def endings(kind: str, alpha: float, peer: bool = False) -> list[Ending]:
            jobs = [Job(kind, alpha, seed, peer) for seed in range(ROLLOUTS)]
            return list(pool.map(simulate, jobs, chunksize=10))

        ours: dict[float, dict[str, list[Ending]]] = {}
        for alpha in ALPHAS:
            say(f"{ROLLOUTS} rollouts of each kind, alpha {alpha:g}")
            ours[alpha] = {kind: endings(kind, alpha) for kind in EFFECTS}
        say("the same with GrowthBook's test")
        theirs = {kind: endings(kind, ALPHA, peer=True) for kind in EFFECTS}
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(_drawn(ours), encoding="utf-8")
    figures, peers = _figures(ours[ALPHA]), _figures(theirs)
    compared = ("bad: decisions until it is rolled back, median", "good: decisions until 100 %, median")
    return {
        "benchmark": "rollouts",
        "figures": {"rollouts of each kind": ROLLOUTS, **figures, "picture": str(PICTURE)},
        "peers": {f"GrowthBook's test, {name}": value for name, value in peers.items()},
        "ratios": {name: round(figures[name] / peers[name], 3) for name in compared if peers.get(name)},
        "machine": on,
    }


def simulate(job: Job) -> Ending:
    """Roll one candidate out until it is stable, rolled back or given up."""
    draw = np.random.default_rng((job.seed, sorted(EFFECTS).index(job.kind)))
    chance = CHANCE * (1 + EFFECTS[job.kind])
    state = step(State("base", "base"), Submit("candidate"), 0.0, SETTINGS).state
    canary, stable, record = Arm(1), Arm(1), stable_mean(Arm(1))
    decisions, regret, furthest, whole = 0, 0.0, 0.0, 0
    ended = ""
    while not ended:
        assert state.rollout is not None
        stage, share = state.rollout.stage, state.share(SETTINGS)
        if share:
            chosen = int(draw.binomial(LOOK, share))
            _earn(canary, chosen, chance, draw)
            _earn(stable, LOOK - chosen, CHANCE, draw)
            decisions, regret = decisions + LOOK, regret + chosen * (CHANCE - chance)
            plan = plan_of(SETTINGS, stage, GUARDS, job.alpha)
            judged = (
                growthbook(plan, canary, stable, job.alpha)
                if job.peer
                else assess(plan, canary, stable, record)
            )
        else:
            judged = Assessment(Health.GOOD, 0)
        seen = Observe("candidate", judged.health, judged.samples)
        outcome = step(state, seen, float(decisions), SETTINGS)
        state = outcome.state
        moves = [each for each in outcome.transitions if each.what != "blacklisted"]
        if moves:
            if 0 < share < 1:
                record = stable_mean(stable)
            canary, stable = Arm(1), Arm(1)
            furthest = max(furthest, state.share(SETTINGS))
            whole = whole or (decisions if state.share(SETTINGS) == 1 else 0)
            ended = "" if moves[-1].what == "advanced" else moves[-1].what
    return Ending(ended, furthest, whole or decisions, regret)


def stable_mean(arm: Arm) -> list[Any]:
    """The record that stages without stable are compared with."""
    return [arm.mean(0)]


def growthbook(plan: Plan, candidate: Arm, stable: Arm, alpha: float) -> Assessment:
    """The same decisions by GrowthBook's interval of the difference."""
    samples = min(candidate.count, stable.count)
    one, other = candidate.mean(0), stable.mean(0)
    if plan.share >= 1:
        return Assessment(Health.GOOD, candidate.count)
    if one is None or other is None:
        return Assessment(Health.UNSURE, samples)
    count = one.count + other.count
    variance = one.variance + other.variance
    half = asymptotic_half_width(variance * count, count, alpha, GROWTHBOOK_TUNING)
    difference = one.value - other.value
    if difference + half < 0:
        return Assessment(Health.BREACH, samples)
    return Assessment(Health.UNSURE if plan.proves and difference - half <= 0 else Health.GOOD, samples)


def _earn(arm: Arm, number: int, chance: float, draw: np.random.Generator) -> None:
    rewards = (draw.random((number, 1)) < chance).astype(np.float64)
    arm.add_all(draw.integers(0, BUCKETS, number), rewards)


def _figures(found: dict[str, list[Ending]]) -> dict[str, float]:
    bad, neutral, good = (found[kind] for kind in ("bad", "neutral", "good"))
    return {
        "bad: promoted": _share(bad, "stable"),
        "bad: got past 10 %": _rate([each.furthest > 0.1 for each in bad]),
        "bad: rolled back": _share(bad, "rolled-back"),
        "bad: decisions until it is rolled back, median": median(each.decisions for each in bad),
        "bad: regret, median": round(median(each.regret for each in bad), 2),
        "bad: regret, largest": round(max(each.regret for each in bad), 2),
        "neutral: promoted as better": _share(neutral, "stable"),
        "neutral: rolled back as worse": _share(neutral, "rolled-back"),
        "good: promoted": _share(good, "stable"),
        "good: rolled back": _share(good, "rolled-back"),
        "good: decisions until 100 %, median": median(
            [each.decisions for each in good if each.furthest == 1] or [0]
        ),
    }


def _share(endings: Sequence[Ending], what: str) -> float:
    return _rate([each.what == what for each in endings])


def _rate(found: Sequence[bool]) -> float:
    return round(sum(found) / len(found), 4)


def _drawn(ours: dict[float, dict[str, list[Ending]]]) -> str:
    told = {alpha: _figures(found) for alpha, found in ours.items()}
    rates = {
        "neutral: rolled back as worse": "neutral rolled back",
        "neutral: promoted as better": "neutral promoted",
        "bad: got past 10 %": "bad past 10 %",
        "good: promoted": "good promoted",
    }
    delays = {
        "bad: decisions until it is rolled back, median": "bad, until rolled back",
        "good: decisions until 100 %, median": "good, until 100 %",
    }
    panels = [
        (
            "share of rollouts",
            [Line(label, [told[a][name] for a in ALPHAS]) for name, label in rates.items()],
        ),
        (
            "decisions, median",
            [Line(label, [told[a][name] for a in ALPHAS]) for name, label in delays.items()],
        ),
    ]
    return picture("Rollouts by alpha, the chance of a breach without harm", ALPHAS, panels)
