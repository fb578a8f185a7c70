"""Networks that are served are those that were trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from shared.algorithms.actor_critic.train import Distribution
from shared.algorithms.actor_critic.train import configuration as actor_critic
from shared.algorithms.deep.listeners import episodes
from shared.algorithms.deep.network import Network
from shared.algorithms.deep.policy import NetworkPolicy
from shared.algorithms.deep.training import dataset, fit, keep, workspace
from shared.algorithms.dqn.train import Values
from shared.algorithms.dqn.train import configuration as dqn
from shared.algorithms.registry import algorithms
from tests.algorithms.tiny.q_learning import dataset as listeners
from tests.algorithms.training import silent, tiny_parameters


@pytest.mark.parametrize("name", ["dqn", "actor_critic"])
def test_onnx_gives_what_the_trained_algorithm_gives(name: str, tmp_path: Path) -> None:
    data = listeners()
    found = episodes(data.tables["histories"], data.actions)
    chosen = dqn if name == "dqn" else actor_critic
    with workspace(0):
        configuration = chosen(tiny_parameters(name))
        transitions = dataset(found.contexts, found.chosen, found.rewards, found.terminals)
        algorithm = fit(configuration, transitions, 20, silent)
        wanted = algorithm.predict(found.contexts.astype(np.float32))
    if name == "dqn":
        module = Values(algorithm.impl.q_function[0])
        value = algorithm.predict_value(found.contexts.astype(np.float32), found.chosen)
    else:
        module = Distribution(algorithm.impl.policy)
        value = None
    assert keep(module, found.contexts, tmp_path, "policy") <= 1e-5
    NetworkPolicy.describe(tmp_path / "policy.json", data.actions, 0.1, "values")
    policy = NetworkPolicy.load(tmp_path / "policy.json", tmp_path / "policy.onnx")
    probabilities = policy.probabilities(found.contexts)
    assert (probabilities.argmax(axis=1) == wanted).all()
    assert probabilities.min() == pytest.approx(0.1 / 27)
    if value is not None:
        served = policy.network(found.contexts)[np.arange(len(value)), found.chosen]
        assert served == pytest.approx(value, abs=1e-5)


def test_a_network_that_is_exported_otherwise_is_not_kept(tmp_path: Path) -> None:
    class Restless(torch.nn.Module):
        calls = 0

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return rows + self.calls

    with pytest.raises(RuntimeError, match="policy: the exported network differs by"):
        keep(Restless(), np.zeros((3, 2)), tmp_path, "policy")


@pytest.mark.parametrize("raw", [b"", b"no network"])
def test_what_is_no_network_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").write_bytes(raw)
    with pytest.raises(ValueError, match="is no network"):
        Network(tmp_path / "policy.onnx")


@pytest.mark.parametrize("name", ["dqn", "actor_critic"])
def test_what_was_learnt_before_is_measured_on_the_last_days_beside_rules(name: str, tmp_path: Path) -> None:
    data = listeners()
    frame = data.tables["histories"].with_columns(time=pl.int_range(pl.len()) * 6 * 86_400_000 // pl.len())
    train = algorithms()[name].training().train
    seen: list[float] = []
    parts = tmp_path / "parts", tmp_path / "whole"
    for part in parts:
        part.mkdir()
    found = train(
        replace(data, tables={"histories": frame}),
        tiny_parameters(name),
        1,
        parts[0],
        lambda share, _: seen.append(share),
    )
    last = frame.filter(pl.col("time") > frame["time"].max() - 3 * 86_400_000)
    assert found["logged_reward"] == pytest.approx(last["reward"].mean())
    assert found["logged_like_rate"] == pytest.approx(last["liked"].mean())
    assert 0 < found["policy_effective_sample"] < len(last)
    assert {"policy_reward", "policy_like_rate", "rules_reward", "rules_like_rate"} <= found.keys()
    assert seen == sorted(seen)
    # What is kept has learnt everything, as if nothing had been measured.
    without = tiny_parameters(name, evaluation_days=30.0)
    assert "policy_reward" not in train(
        replace(data, tables={"histories": frame}), without, 1, parts[1], silent
    )
    assert (parts[0] / "policy.onnx").read_bytes() == (parts[1] / "policy.onnx").read_bytes()
