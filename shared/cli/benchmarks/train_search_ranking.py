"""Conservative Q-learning on simulated search logs with known truth, and its speed beside d3rlpy used bare.

Of the mean reward: the learnt policy's, the log's, and the highest there is. Of caution: how far the learnt
weights lie from the nearest logged ones, for states as they occur, beside weights drawn blindly.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from shared.algorithms.artefacts import train as make
from shared.algorithms.contract import Dataset
from shared.algorithms.parameters import chosen
from shared.algorithms.reading.search_ranking import read_line, tables
from shared.algorithms.registry import algorithms
from shared.algorithms.serving import ContinuousPolicy, load_policy
from shared.applications.registry import load
from shared.applications.search_ranking.simulator import SearchSimulator
from shared.applications.search_ranking.weights import normalised, read_presets
from shared.applications.simulation import Situation
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.turns import Throughput, by_turns
from shared.cli.output import say
from shared.core.arrays import Floats

SEARCHES = 4_000
EPOCHS = 50
SEED = 0
RACE_STEPS = 200
"""Of each contestant; both start with searches in memory and end with a fitted policy."""


def run() -> dict[str, Any]:
    """Measure."""
    on = machine()
    world = SearchSimulator(read_presets(), SEED)
    application = load()["search_ranking"]
    random = np.random.default_rng(SEED)
    lines = [read_line(application, line) for line in world.logs(SEARCHES, random)]
    data = Dataset(application.name, tables(application, lines), ())
    algorithm = algorithms()["cql"]
    declared = algorithm.declaration
    parameters = chosen(declared.Parameters, declared.PRESETS, "default", {"epochs": EPOCHS})
    with tempfile.TemporaryDirectory(prefix="streamwheel-train-") as folder:
        made = make(algorithm, data, parameters, SEED, Path(folder), lambda share, doing: None)
        policy = load_policy(made.folder, made.id)
    assert isinstance(policy, ContinuousPolicy)
    say("trained; racing d3rlpy")
    contexts = [application.featurise(each.context) for each in world.situations]
    served = policy.action(np.stack(contexts))
    logged = np.array(data.tables["searches"]["action"].to_list())
    race = _race(data)
    return {
        "benchmark": "train-search-ranking",
        "figures": {
            "searches": SEARCHES,
            "epochs": EPOCHS,
            "mean_reward": round(world.mean_reward_of_weights(lambda _: served), 4),
            "distance_to_nearest_logged": round(_nearest(served, logged), 4),
            "distance_of_blind_weights": round(_nearest(random.dirichlet(np.ones(7), 120), logged), 4),
            "onnx_difference": made.manifest.metrics["onnx_difference"],
            "steps_per_s": round(race.ours, 2),
        },
        "peers": {
            "log: mean_reward": round(_of_log(world, random), 4),
            "optimum: mean_reward": round(
                world.mean_reward_of_weights(lambda all_: 2 * world.best_weights[[s.truth for s in all_]]), 4
            ),
            "d3rlpy bare: steps_per_s": round(race.theirs, 2),
        },
        "ratios": {
            "d3rlpy bare": round(race.ratio, 3),
            "d3rlpy bare, by processor time": round(race.processor_ratio, 3),
        },
        "machine": on,
    }


def _of_log(world: SearchSimulator, random: np.random.Generator) -> float:
    """Mean reward of the logging policy over all situations, from as many draws as there are searches."""

    def draw(situations: list[Situation]) -> Floats:
        return world.logged_weights(len(situations), random)

    draws = SEARCHES // len(world.situations)
    return float(np.mean([world.mean_reward_of_weights(draw) for _ in range(draws)]))


def _nearest(weights: Floats, logged: Floats) -> float:
    """Mean distance, half the sum of absolute differences, to the nearest logged weights."""
    return float(np.mean([(np.abs(logged - row).sum(axis=1) / 2).min() for row in normalised(2 * weights)]))


def _race(data: Dataset) -> Throughput:
    """Steps of ours and of d3rlpy's own `fit`."""
    import d3rlpy

    from shared.algorithms.cql import train as ours
    from shared.algorithms.cql.searches import read
    from shared.algorithms.deep.training import fit, workspace
    from shared.applications.search_ranking.state import Scaler

    parameters = ours.Parameters()
    searches = read(data, parameters)
    scaler = Scaler.fit(searches.states)

    def mine() -> None:
        with workspace(SEED):
            fit(
                ours.configuration(parameters),
                ours.transitions(searches, scaler),
                RACE_STEPS,
                lambda share, doing: None,
            )

    def bare() -> None:
        with workspace(SEED):
            ours.configuration(parameters).create().fit(
                ours.transitions(searches, scaler),
                n_steps=RACE_STEPS,
                n_steps_per_epoch=RACE_STEPS,
                logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
                show_progress=False,
            )

    return by_turns(RACE_STEPS, mine, bare)
