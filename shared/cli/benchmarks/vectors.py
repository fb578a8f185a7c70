"""How often intervals of policies that give vectors hold the truth, where the log has no density.

Two numbers around a context, and the seven weights of simulated searches, whose truth is known. What is
refused claims nothing, and counts by its reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from shared.applications.registry import load
from shared.applications.search_ranking.simulator import SearchSimulator
from shared.applications.search_ranking.weights import normalised, read_presets
from shared.cli.benchmarks.machine import machine
from shared.cli.output import say
from shared.core.arrays import Floats
from shared.core.estimators.continuous.smoothing import WIDENED, smoothing_reasons
from shared.core.estimators.continuous.weighing import VectorLog, Weighing
from shared.core.estimators.settings import Settings
from shared.evaluation.study import Chunk, Study

SETTINGS = Settings(resamples=500)
LOGS, ROWS = 200, 4_000
SEARCH_LOGS, SEARCHES = 8, 4_000
UNSETTLED = frozenset({"interval-holds-baseline", "worse-than-baseline"})

Draw = Callable[[np.random.Generator], VectorLog]


def run() -> dict[str, Any]:
    """Measure."""
    on = machine()
    truth, draw = _around()
    figures = {f"two_{name}": value for name, value in _coverage(draw, truth, LOGS).items()}
    say("two numbers: done; seven weights")
    truth, draw = _ranking()
    figures |= {f"seven_{name}": value for name, value in _coverage(draw, truth, SEARCH_LOGS).items()}
    return {"benchmark": "vectors", "figures": figures, "peers": {}, "ratios": {}, "machine": on}


def _coverage(draw: Draw, truth: float, logs: int) -> dict[str, Any]:
    answered = covered = 0
    reasons, sizes = Counter[str](), []
    for seed in range(logs):
        weighing = Weighing(draw(np.random.default_rng(seed)))
        log = weighing.weighed()
        found = Study([Chunk(log)], SETTINGS, models=True).evaluation
        doubts = {
            each.name
            for each in (
                *found.reasons,
                *weighing.support_reasons(SETTINGS.limits),
                *smoothing_reasons(log, weighing.weighed(WIDENED), SETTINGS.limits),
            )
        } - UNSETTLED
        sizes.append(found.effective_sample_size)
        reasons.update(doubts)
        if not doubts:
            answered += 1
            ends = found.estimates["dr"].interval
            covered += ends.low <= truth <= ends.high
    return {
        "logs": logs,
        "answered": answered,
        "covered": round(covered / answered, 3) if answered else None,
        "effective_sample_size": round(float(np.median(sizes)), 1),
        "refused": dict(reasons.most_common()),
    }


def _around() -> tuple[float, Draw]:
    """Vectors around half the context; the target's lie elsewhere, where no quadratic fits the reward."""

    def policy(contexts: Floats) -> Floats:
        return np.asarray(0.6 * np.tanh(contexts[:, :2]) + 0.2)

    def reward(contexts: Floats, vectors: Floats) -> Floats:
        apart = ((vectors - contexts[:, :2]) ** 2).sum(axis=1)
        return np.asarray(1 - apart + 0.5 * np.sin(2 * vectors[:, 0]))

    def draw(random: np.random.Generator) -> VectorLog:
        contexts = random.standard_normal((ROWS, 3))
        taken = 0.5 * contexts[:, :2] + 0.7 * random.standard_normal((ROWS, 2))
        earned = reward(contexts, taken) + random.standard_normal(ROWS)
        return VectorLog(contexts, taken, policy(contexts), earned)

    contexts = np.random.default_rng(10**6).standard_normal((10**6, 3))
    return float(reward(contexts, policy(contexts)).mean()), draw


def _ranking() -> tuple[float, Draw]:
    """Searches logged by noise around presets; the target gives each state its nearest preset."""
    world, application = SearchSimulator(read_presets(), 0), load()["search_ranking"]
    presets = normalised(np.array(list(world.presets.presets.values())))
    best = world.best_weights[[each.truth for each in world.situations]]
    wanted = presets[np.abs(best[:, None] - presets).sum(axis=2).argmin(axis=1)]
    of_kind = {each.truth: vector for each, vector in zip(world.situations, wanted, strict=True)}

    def draw(random: np.random.Generator) -> VectorLog:
        raw = world.logged_weights(SEARCHES, random)
        situations = [world.start(random) for _ in range(SEARCHES)]
        told = [world.outcome(each, own, random) for each, own in zip(situations, raw, strict=True)]
        states = np.stack([application.featurise(each.context) for each in situations]).astype(np.float64)
        vectors = np.stack([of_kind[each.truth] for each in situations])
        return VectorLog(states, normalised(raw), vectors, _rewards(told))

    return world.mean_reward_of_weights(lambda _: 2 * wanted), draw


def _rewards(told: list[tuple[str, int, list[float]]]) -> Floats:
    from shared.applications.search_ranking.reward import NOTHING, VALUES, price_multiplier, rank_weight

    ranks = rank_weight(np.array([float(rank) for _, rank, _ in told]))
    prices = price_multiplier(np.array([prices[rank - 1] for _, rank, prices in told]))
    worth = np.array([VALUES.get(kind, NOTHING) for kind, _, _ in told])
    bought, nothing = (np.array([kind == wanted for kind, _, _ in told]) for wanted in ("purchase", "none"))
    return np.asarray(np.where(nothing, NOTHING, worth * ranks * np.where(bought, prices, 1.0)))
