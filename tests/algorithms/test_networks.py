"""Networks that are served are those that were trained."""

from pathlib import Path

import numpy as np
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
