"""Ranking weights from logged searches."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from shared.algorithms.contract import NotTrainable
from shared.algorithms.cql.figures import Behaviour, importance_sampling, of_log
from shared.algorithms.cql.policy import from_network, load, to_network
from shared.algorithms.cql.searches import read, split
from shared.algorithms.cql.train import train
from shared.applications.search_ranking.state import EPSILON
from tests.algorithms.tiny.cql import dataset, searches
from tests.algorithms.training import silent, tiny_parameters


def test_the_served_weights_are_those_of_training(tmp_path: Path) -> None:
    """The network computed again by hand from its parameters, with the scaler of the training part."""
    parameters = tiny_parameters("cql")
    metrics = train(dataset(), parameters, 0, tmp_path, silent)
    layers = load_file(tmp_path / "policy.safetensors")
    states = read(dataset(), parameters).states
    seen = states[split(len(states), parameters, 0).train]
    rows = (states - seen.mean(axis=0)) / (seen.std(axis=0) + EPSILON)
    for name in ("policy._encoder._layers.0", "policy._encoder._layers.2"):
        rows = np.maximum(rows @ layers[f"{name}.weight"].T + layers[f"{name}.bias"], 0)
    raw = np.tanh(rows @ layers["policy._mu.weight"].T + layers["policy._mu.bias"])
    served = load(tmp_path / "scaler.json", tmp_path / "policy.onnx").action(states)
    assert served == pytest.approx(from_network(raw), abs=1e-5)
    assert served.sum(axis=1) == pytest.approx(np.ones(len(states)))
    assert metrics["onnx_difference"] <= 1e-5


def test_weights_survive_the_way_to_the_network_and_back() -> None:
    actions = np.random.default_rng(0).dirichlet(np.ones(7), 50)
    assert from_network(to_network(actions)) == pytest.approx(actions)
    assert from_network(np.full((1, 7), -1.0)) == pytest.approx(np.full((1, 7), 1 / 7))


def test_rewards_out_of_range_are_set_aside_and_counted(tmp_path: Path) -> None:
    odd = searches().with_columns(
        reward=pl.when(pl.int_range(pl.len()) < 7).then(pl.lit(100.5)).otherwise(pl.col("reward"))
    )
    kept = read(dataset(odd), tiny_parameters("cql"))
    inside = searches()["reward"].is_between(-10, 100)
    assert kept.set_aside == len(odd) - inside[7:].sum()
    assert kept.rewards.max() <= 100


def test_the_logs_own_rewards_are_taken_on_demand(tmp_path: Path) -> None:
    stated = read(dataset(), tiny_parameters("cql", skip_reward_computation=True))
    assert set(stated.rewards.tolist()) == {1.0, 2.0}


def test_states_may_stay_as_they_are_and_processed_logs_be_kept(tmp_path: Path) -> None:
    parameters = tiny_parameters("cql", normalize=False, save_processed_logs=True, epochs=1)
    train(dataset(), parameters, 0, tmp_path, silent)
    assert json.loads((tmp_path / "scaler.json").read_text())["mean"] is None
    lines = [json.loads(line) for line in (tmp_path / "processed.jsonl").read_text().splitlines()]
    found = read(dataset(), parameters)
    assert [line["state"] for line in lines] == found.states.tolist()
    assert load(tmp_path / "scaler.json", tmp_path / "policy.onnx").action(found.states).shape == (
        len(found.states),
        7,
    )


def test_parts_are_disjoint_and_sized_as_told() -> None:
    parts = split(1000, tiny_parameters("cql"), 3)
    assert (parts.train.astype(int) + parts.validation + parts.test == 1).all()
    assert (parts.test.sum(), parts.validation.sum()) == (200, 160)


def test_figures_of_the_log() -> None:
    found = read(dataset(), tiny_parameters("cql"))
    figures = of_log(found)
    ranks = found.facts["first_rank"]
    assert figures["conversion_rate"] == (ranks > 0).mean()
    assert figures["mrr"] == pytest.approx(sum(1 / rank for rank in ranks if rank) / len(ranks))
    assert figures["precision_at_5"] == pytest.approx(((ranks > 0) & (ranks <= 5)).mean() / 5)
    assert figures["revenue_per_session"] == pytest.approx(250 * (ranks > 0).mean())


def test_importance_sampling_finds_the_value_of_a_shifted_policy() -> None:
    random = np.random.default_rng(0)
    n = 20_000
    states = random.standard_normal((n, 2))
    free = 0.14 + 0.01 * random.standard_normal((n, 6))
    actions = np.concatenate([free, 1 - free.sum(axis=1, keepdims=True)], axis=1)
    outcome = (random.random(n) < 0.2 + 8 * (free[:, 0] - 0.14)).astype(float)
    wanted = np.full((n, 7), 0.14)
    wanted[:, 0] = 0.15
    ratio = Behaviour(states, actions).log_ratio(states, actions, wanted)
    found = importance_sampling(ratio, outcome, 30, 0)
    assert not found["ips_refused"]
    assert found["ips_conversion_low"] < 0.28 < found["ips_conversion_high"]
    assert found["ips_conversion_high"] - found["ips_conversion_low"] < 0.08


def test_importance_sampling_is_refused_where_few_searches_count() -> None:
    ratio = np.zeros(100)
    ratio[0] = 20.0
    found = importance_sampling(ratio, np.ones(100), 30, 0)
    assert found == {"ips_effective_sample": pytest.approx(1.0, abs=1e-3), "ips_refused": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit([1 / 7] * 7).alias("action"), "all are alike"),
        (pl.lit([1.0]).alias("action"), r"searches.action: lengths \[1\]; all must be 7"),
        (pl.lit(2.0).alias("reward"), "all are 2"),
        (pl.lit(-11.0).alias("reward"), r"0 searches with a reward within \[-10, 100\]"),
        (pl.lit([float("nan")] * 23).alias("observation"), "searches.observation: 9200 values are NaN"),
    ],
)
def test_searches_that_teach_nothing_are_refused(change: pl.Expr, message: str, tmp_path: Path) -> None:
    data = replace(dataset(), tables={"searches": searches().with_columns(change)})
    with pytest.raises(NotTrainable, match=message):
        train(data, tiny_parameters("cql"), 0, tmp_path, silent)
    assert not list(tmp_path.iterdir())
