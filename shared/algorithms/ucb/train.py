"""UCB1 (Auer et al. 2002) in each state: mean reward and c sqrt(ln n / n_a), unvisited actions first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shared.algorithms import histories
from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.q_learning.comparing import compared
from shared.algorithms.q_learning.policy import UNVISITED, TablePolicy, bonus
from shared.algorithms.ucb.declaration import Parameters
from shared.applications.entertainment.state import read_state_settings
from shared.core.arrays import Floats


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of users, states and interactions in the window."""
    return histories.report(_window(data, parameters))


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Count and average each state's actions, write the bounds. Draws nothing."""
    frame = _window(data, parameters)
    earlier, last = histories.earlier_and_last(frame, parameters.evaluation_days)
    metrics = {} if earlier.is_empty() else compared(_learn(earlier, data.actions, parameters), last)
    progress(0.5, f"counting {len(frame)} interactions")
    policy = _learn(frame, data.actions, parameters)
    policy.save(out / "policy.json")
    progress(1.0, "done")
    unvisited = np.mean([(scores >= UNVISITED).mean() for scores in policy.scores.values()])
    return (
        metrics
        | histories.gates(frame, parameters.gate_interactions, parameters.gate_reward)
        | {"states": float(len(policy.scores)), "share_unvisited": float(unvisited)}
    )


def _window(data: Dataset, parameters: Parameters) -> pl.DataFrame:
    frame = histories.read(data, parameters.window_days)
    return histories.with_enough(frame, parameters.min_interactions)


def _learn(frame: pl.DataFrame, actions: Sequence[str], parameters: Parameters) -> TablePolicy:
    place = {name: i for i, name in enumerate(actions)}
    sums = frame.group_by("state", "action").agg(pl.col("reward").mean(), visits=pl.len())
    scores: dict[str, Floats] = {}
    for (state,), rows in sums.sort("state", "action").group_by("state", maintain_order=True):
        taken = [place[name] for name in rows["action"]]
        visits, means = np.zeros(len(actions)), np.zeros(len(actions))
        visits[taken], means[taken] = rows["visits"].to_numpy(), rows["reward"].to_numpy()
        scores[str(state)] = means + bonus(visits, parameters.c)
    return TablePolicy(list(actions), parameters.floor, read_state_settings(), scores)
