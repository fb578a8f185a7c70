"""Deep Q-learning (Mnih et al. 2015) with d3rlpy: replay over the window, and a target network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from shared.algorithms import histories
from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.deep import listeners
from shared.algorithms.deep.policy import NetworkPolicy
from shared.algorithms.deep.training import algos, dataset, encoder, fit, keep, workspace
from shared.algorithms.dqn.declaration import Parameters

summary = listeners.summary


class Values(torch.nn.Module):  # type: ignore[misc]
    """Vectors (n, width) to the values of the actions (n, k)."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, contexts: Any) -> Any:
        """As the trained network."""
        return self.function(contexts).q_value


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Fit, and write `policy.onnx`, its parameters and `policy.json`."""
    frame = listeners.window(data, parameters)
    found = listeners.episodes(frame, data.actions)
    with workspace(seed):
        algorithm = fit(
            configuration(parameters),
            dataset(found.contexts, found.chosen, found.rewards, found.terminals),
            parameters.steps,
            progress,
        )
        values = Values(algorithm.impl.q_function[0])
        difference = keep(values, found.contexts[:1000], out, "policy")
    NetworkPolicy.describe(out / "policy.json", data.actions, parameters.floor, "values")
    progress(1.0, "done")
    return histories.gates(frame, parameters.gate_interactions, parameters.gate_reward) | {
        "onnx_difference": difference,
        "steps": float(parameters.steps),
        "users": float(frame["subject_id"].n_unique()),
    }


def configuration(parameters: Parameters) -> Any:
    """The same as d3rlpy has it."""
    return algos.DQNConfig(
        batch_size=parameters.batch_size,
        gamma=parameters.gamma,
        learning_rate=parameters.learning_rate,
        target_update_interval=parameters.target_update_interval,
        encoder_factory=encoder(parameters.hidden),
    )
