"""Policies of the entertainment recommender on simulated listeners whose optimum is known.

Q-learning decides and learns by turns, from nothing, over 20,000 interactions: each round is served by the
policy of the round before; the last policy is greedy. DQN and the actor-critic learn from 20,000 interactions
that a uniform policy logged, of listeners with continuous traits. Figures are exact mean rewards of the last
policy, its floor of 5 % exploration included, as shares of the optimal policy's.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from shared.algorithms.artefacts import Artefact
from shared.algorithms.artefacts import train as make
from shared.algorithms.contract import Dataset
from shared.algorithms.parameters import chosen
from shared.algorithms.registry import algorithms
from shared.algorithms.serving import DiscretePolicy, load_policy
from shared.algorithms.simulated.entertainment import STEP_MS, as_policy, histories
from shared.applications.entertainment.simulator import EntertainmentSimulator
from shared.applications.entertainment.strategies import read_strategies
from shared.applications.simulation import uniform
from shared.cli.benchmarks.machine import machine
from shared.cli.output import say

INTERACTIONS = 20_000
ROUND = 200
"""Interactions that a policy serves before the next one is trained."""
SEEDS = 3
NETWORK_SEEDS = 1
"""Networks take a minute each."""


def run() -> dict[str, Any]:
    """Measure."""
    on = machine()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="streamwheel-train-") as folder:
        for seed in range(SEEDS):
            for preset in ("sessions", "default"):
                share = _by_turns(seed, preset, Path(folder))
                found.setdefault(f"q_learning, preset {preset}", []).append(share)
        for seed in range(NETWORK_SEEDS):
            for name in ("dqn", "actor_critic"):
                found.setdefault(name, []).append(_from_log(name, seed, Path(folder)))
    world = EntertainmentSimulator(read_strategies(), 0)
    blind = world.mean_reward(uniform(world)) / world.optimal_mean_reward()
    figures: dict[str, Any] = {"interactions": INTERACTIONS}
    for name, shares in found.items():
        figures[f"{name}, share of optimal"] = round(median(shares), 4)
        figures[f"{name}, least of seeds"] = round(min(shares), 4)
    return {
        "benchmark": "train-entertainment",
        "figures": figures,
        "peers": {"uniform policy, share of optimal": round(blind, 4)},
        "ratios": {},
        "machine": on,
    }


def _by_turns(seed: int, preset: str, folder: Path) -> float:
    world = EntertainmentSimulator(read_strategies(), seed)
    previous: Artefact | None = None
    policy = uniform(world)
    rounds = INTERACTIONS // ROUND
    for number in range(rounds):
        table = histories(world, ROUND, seed * 1_000_003 + number, policy).with_columns(
            pl.format("r{}-{}", pl.lit(f"{number:06}"), "decision_id").alias("decision_id"),
            pl.format("r{}-{}", pl.lit(number), "subject_id").alias("subject_id"),
            pl.col("time") + number * ROUND * STEP_MS,
        )
        last = {"selection": "epsilon"} if number == rounds - 1 else {}
        previous = _train("q_learning", preset, world, table, seed, folder, previous, **last)
        policy = as_policy(_served(previous))
    share = world.mean_reward(policy) / world.optimal_mean_reward()
    say(f"q_learning, preset {preset}, seed {seed}: {share:.3f} of optimal")
    return share


def _from_log(name: str, seed: int, folder: Path) -> float:
    world = EntertainmentSimulator(read_strategies(), seed, narrow=False)
    made = _train(name, "default", world, histories(world, INTERACTIONS, seed), seed, folder, None)
    share = world.mean_reward(as_policy(_served(made))) / world.optimal_mean_reward()
    say(f"{name}, seed {seed}: {share:.3f} of optimal")
    return share


def _train(
    name: str,
    preset: str,
    world: EntertainmentSimulator,
    table: pl.DataFrame,
    seed: int,
    folder: Path,
    previous: Artefact | None,
    **more: Any,
) -> Artefact:
    algorithm = algorithms()[name]
    declared = algorithm.declaration
    parameters = chosen(declared.Parameters, declared.PRESETS, preset, more)
    before = None if previous is None else previous.folder
    data = Dataset(world.application, {"histories": table}, (), world.actions, before)
    return make(algorithm, data, parameters, seed, folder, lambda share, doing: None)


def _served(made: Artefact) -> DiscretePolicy:
    policy = load_policy(made.folder, made.id)
    assert isinstance(policy, DiscretePolicy)
    return policy
