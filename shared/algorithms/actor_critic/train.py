"""A discrete soft actor-critic (Christodoulou 2019) with d3rlpy, off policy over the window."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from shared.algorithms.actor_critic.declaration import Parameters
from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.deep import learning, listeners
from shared.algorithms.deep.training import algos, encoder

summary = listeners.summary


class Distribution(torch.nn.Module):  # type: ignore[misc]
    """Vectors (n, width) to the probabilities of the actions (n, k)."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, contexts: Any) -> Any:
        """As the trained network, whose own result is a torch distribution, which cannot be traced."""
        return torch.softmax(self.policy._fc(self.policy._encoder(contexts)), dim=1)


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """As `learning.train`."""
    method = learning.Method(configuration, lambda fitted: Distribution(fitted.impl.policy), "probabilities")
    return learning.train(method, data, parameters, seed, out, progress)


def configuration(parameters: Parameters) -> Any:
    """The same as d3rlpy has it."""
    return algos.DiscreteSACConfig(
        batch_size=parameters.batch_size,
        gamma=parameters.gamma,
        actor_learning_rate=parameters.learning_rate,
        critic_learning_rate=parameters.learning_rate,
        temp_learning_rate=0.0,  # it would be learnt towards a policy that is nearly uniform
        n_critics=parameters.critics,
        initial_temperature=parameters.temperature,
        target_update_interval=parameters.target_update_interval,
        actor_encoder_factory=encoder(parameters.hidden),
        critic_encoder_factory=encoder(parameters.hidden),
    )
