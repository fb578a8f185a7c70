"""Deep Q-learning (Mnih et al. 2015) with d3rlpy: replay over the window, and a target network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.deep import learning, listeners
from shared.algorithms.deep.training import algos, encoder
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
    """As `learning.train`."""
    method = learning.Method(configuration, lambda fitted: Values(fitted.impl.q_function[0]), "values")
    return learning.train(method, data, parameters, seed, out, progress)


def configuration(parameters: Parameters) -> Any:
    """The same as d3rlpy has it."""
    return algos.DQNConfig(
        batch_size=parameters.batch_size,
        gamma=parameters.gamma,
        learning_rate=parameters.learning_rate,
        target_update_interval=parameters.target_update_interval,
        encoder_factory=encoder(parameters.hidden),
    )
