"""One round of the continuous learner: the reward model on the last samples, then the policy against it.

The folders `reward` and `policy` of the candidate are those of the algorithms reward_model and ppo. A round
that has a previous candidate goes on from both of its models.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.algorithms import artefacts
from shared.algorithms.continuous.declaration import Parameters
from shared.algorithms.contract import Dataset, NotTrainable, Progress
from shared.algorithms.ppo import declaration as ppo_declaration
from shared.algorithms.ppo import train as ppo
from shared.algorithms.registry import algorithms
from shared.algorithms.reward_model import declaration as reward_declaration
from shared.algorithms.reward_model import samples as reward_samples


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of samples in the buffer. Raises NotTrainable."""
    recent = _recent(data, parameters)
    wanted = _reward_parameters(data, parameters)
    return reward_samples.samples(recent, wanted.held_out, wanted.min_samples, 0).summary()


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Train both; metrics are those of both, the reward model's with `reward_model_` before them.

    Raises NotTrainable.
    """
    recent = _recent(data, parameters)
    artefacts.previous_artefact(data, "continuous")
    reward_model = algorithms()["reward_model"]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        scored = artefacts.train(
            reward_model,
            recent,
            _reward_parameters(data, parameters),
            seed,
            root,
            lambda share, doing: progress(share / 2, doing),
        )
        policy = root / "policy"
        policy.mkdir()
        improved = ppo.train(
            recent,
            ppo_declaration.Parameters(
                reward_model=str(scored.folder),
                base_model=_going_on(data, "policy") or parameters.base_model,
                learning_rate=parameters.learning_rate,
                updates=parameters.updates,
                response_length=parameters.response_length,
                min_samples=2,
            ),
            seed,
            policy,
            lambda share, doing: progress(0.5 + share / 2, doing),
        )
        shutil.copytree(policy, out / "policy")
        (out / "reward").mkdir()
        for name in scored.manifest.files:
            shutil.copyfile(scored.file(name), out / "reward" / name)
    return {f"reward_model_{name}": value for name, value in scored.manifest.metrics.items()} | dict(improved)


def _recent(data: Dataset, parameters: Parameters) -> Dataset:
    """The last samples of the table, which is in order of time."""
    feedback = data.table("feedback", reward_declaration.TABLES["feedback"])
    if feedback.height < parameters.new_samples:
        raise NotTrainable(
            f"feedback: {feedback.height} samples, where new_samples asks for {parameters.new_samples}"
        )
    tables = dict(data.tables) | {"feedback": feedback.tail(parameters.buffer)}
    return replace(data, tables=tables, previous=None)


def _reward_parameters(data: Dataset, parameters: Parameters) -> reward_declaration.Parameters:
    return reward_declaration.Parameters(
        base_model=_going_on(data, "reward") or parameters.reward_base_model,
        learning_rate=parameters.reward_learning_rate,
        epochs=parameters.reward_epochs,
        min_samples=2,
    )


def _going_on(data: Dataset, part: str) -> str | None:
    return None if data.previous is None else str(data.previous / part)
