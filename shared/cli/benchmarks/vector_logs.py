"""Logs of vectors whose truth and density are known: two numbers around a context, and ranking weights."""

from collections.abc import Callable
from functools import cache
from math import lgamma
from typing import NamedTuple

import numpy as np

from shared.applications.registry import load
from shared.applications.search_ranking import simulator
from shared.applications.search_ranking.reward import NOTHING, VALUES, price_multiplier, rank_weight
from shared.applications.search_ranking.weights import HIGHEST, normalised
from shared.core.arrays import Floats
from shared.core.estimators.continuous.weighing import VectorLog

SPREAD = 0.7
CONCENTRATION = 20.0
"""Of logged weights around a preset: about .08 from it, each."""

Draw = Callable[[np.random.Generator, int], VectorLog]


class World(NamedTuple):
    """A source of logs, and what its target policy earns."""

    draw: Draw
    truth: float


@cache
def smooth() -> World:
    """Vectors around half the context; the target's lie elsewhere, where no quadratic fits the reward."""

    def reward(contexts: Floats, vectors: Floats) -> Floats:
        apart = ((vectors - contexts[:, :2]) ** 2).sum(axis=1)
        return np.asarray(1 - apart + 0.5 * np.sin(2 * vectors[:, 0]))

    return _around(reward)


@cache
def kinked() -> World:
    """The same with rewards that have a kink where the target is best: a kernel's bias is largest there."""

    def reward(contexts: Floats, vectors: Floats) -> Floats:
        return np.asarray(1 - np.abs(vectors - _wanted(contexts)).sum(axis=1))

    return _around(reward)


def _wanted(contexts: Floats) -> Floats:
    return np.asarray(0.6 * np.tanh(contexts[:, :2]) + 0.2)


def _around(reward: Callable[[Floats, Floats], Floats]) -> World:
    def draw(random: np.random.Generator, rows: int) -> VectorLog:
        contexts = random.standard_normal((rows, 3))
        apart = random.standard_normal((rows, 2))
        taken = 0.5 * contexts[:, :2] + SPREAD * apart
        earned = reward(contexts, taken) + random.standard_normal(rows)
        density = np.exp(-0.5 * (apart**2).sum(axis=1)) / (2 * np.pi * SPREAD**2)
        return VectorLog(contexts, taken, _wanted(contexts), earned, density)

    contexts = np.random.default_rng(10**6).standard_normal((10**6, 3))
    return World(draw, float(reward(contexts, _wanted(contexts)).mean()))


@cache
def ranking() -> World:
    """Searches whose weights are drawn around presets; the target gives each state its nearest preset."""
    world, application = simulator.simulator(0), load()["search_ranking"]
    presets = normalised(np.array(list(world.presets.presets.values())))
    kind = np.array([each.truth for each in world.situations])
    best = world.best_weights[kind]
    wanted = presets[np.abs(best[:, None] - presets).sum(axis=2).argmin(axis=1)]
    states = np.stack([application.featurise(each.context) for each in world.situations]).astype(np.float64)
    shapes = 1 + CONCENTRATION * presets

    def draw(random: np.random.Generator, rows: int) -> VectorLog:
        where = random.integers(len(kind), size=rows)
        parts = random.standard_gamma(shapes[random.integers(len(shapes), size=rows)])
        taken = parts / parts.sum(axis=1, keepdims=True)
        quality = (1 - np.abs(taken - best[where]).sum(axis=1) / 2) ** 2
        return VectorLog(
            states[where], taken, wanted[where], _earned(quality, random), _density(taken, shapes)
        )

    return World(draw, world.mean_reward_of_weights(lambda _: HIGHEST * wanted))


def _density(taken: Floats, shapes: Floats) -> Floats:
    """Over the first six weights: that of the Dirichlet distributions, each as likely as the others."""
    scale = np.array([lgamma(each.sum()) - sum(map(lgamma, each)) for each in shapes])
    return np.asarray(np.exp(np.log(taken) @ (shapes - 1).T + scale).mean(axis=1))


def _earned(quality: Floats, random: np.random.Generator) -> Floats:
    """Rewards of rankings of these qualities, as the simulator's `outcome` draws them one by one."""
    rows, low, high = len(quality), *simulator.PURCHASE
    first, last = simulator.DECLINE
    shares = (first + (last - first) * quality)[:, None] ** np.arange(simulator.RANKS)
    passed = np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1) < random.random((rows, 1))
    seen = rank_weight(1.0 + np.minimum(passed.sum(axis=1), simulator.RANKS - 1))
    price = price_multiplier(random.choice(simulator.PRICES, rows))
    chance, bought = random.random(rows), low + (high - low) * quality
    cart, click = bought + simulator.CART, bought + simulator.CART + simulator.CLICK
    told = [VALUES["purchase"] * seen * price, VALUES["cart"] * seen, VALUES["click"] * seen]
    return np.asarray(np.select([chance < bought, chance < cart, chance < click], told, NOTHING))
