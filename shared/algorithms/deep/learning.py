"""A training of a network over listeners' vectors, by any algorithm of d3rlpy's. Imports torch and d3rlpy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from shared.algorithms import histories
from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.deep import listeners
from shared.algorithms.deep.policy import Kind, NetworkPolicy
from shared.algorithms.deep.training import dataset, fit, keep, workspace
from shared.core.arrays import Floats

#: Of which the exported network's outputs are compared with the trained one's.
COMPARED = 1000


@dataclass(frozen=True)
class Method:
    """What tells one algorithm from another."""

    configuration: Callable[[Any], Any]
    """Hyper-parameters to d3rlpy's configuration."""
    head: Callable[[Any], torch.nn.Module]
    """A fitted algorithm to the network that is kept: vectors (n, width) to numbers of actions (n, k)."""
    kind: Kind
    """What these numbers are."""


def train(
    method: Method, data: Dataset, parameters: Any, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Fit, and write `policy.onnx`, its parameters and `policy.json`.

    If the window reaches beyond the last `evaluation_days`, another policy is fitted to what came before them
    first, and measured on them beside the rules.
    """
    frame = listeners.window(data, parameters)
    earlier, last = histories.earlier_and_last(frame, parameters.evaluation_days)
    metrics: dict[str, float] = {}
    begin = 0.0
    if not earlier.is_empty():
        begin = 0.5
        with TemporaryDirectory() as scratch:
            _fitted(
                method, earlier, data.actions, parameters, seed, Path(scratch), _part(progress, 0.0, begin)
            )
            metrics = _compared(_load(Path(scratch)), last)
    found = _fitted(method, frame, data.actions, parameters, seed, out, _part(progress, begin, 1.0))
    progress(1.0, "done")
    return metrics | histories.gates(frame, parameters.gate_interactions, parameters.gate_reward) | found


def _fitted(
    method: Method,
    frame: pl.DataFrame,
    actions: Sequence[str],
    parameters: Any,
    seed: int,
    out: Path,
    progress: Progress,
) -> dict[str, float]:
    found = listeners.episodes(frame, actions)
    with workspace(seed):
        algorithm = fit(
            method.configuration(parameters),
            dataset(found.contexts, found.chosen, found.rewards, found.terminals),
            parameters.steps,
            progress,
        )
        difference = keep(method.head(algorithm), found.contexts[:COMPARED], out, "policy")
    NetworkPolicy.describe(out / "policy.json", actions, parameters.floor, method.kind)
    return {
        "onnx_difference": difference,
        "steps": float(parameters.steps),
        "users": float(frame["subject_id"].n_unique()),
    }


def _compared(policy: NetworkPolicy, last: pl.DataFrame) -> dict[str, float]:
    """Figures of the log, of the rules and of the policy, as in `histories.evaluation`."""
    place = {name: i for i, name in enumerate(policy.actions)}

    def agreement(rows: pl.DataFrame) -> Floats:
        chosen = [place[name] for name in rows["action"]]
        contexts = np.array(rows["context"].to_list())
        return np.asarray(policy.probabilities(contexts)[np.arange(len(rows)), chosen])

    rules = histories.evaluation(last, histories.rule_based, "rules_")
    return rules | histories.evaluation(last, agreement)


def _load(folder: Path) -> NetworkPolicy:
    return NetworkPolicy.load(folder / "policy.json", folder / "policy.onnx")


def _part(progress: Progress, begin: float, end: float) -> Progress:
    return lambda share, doing: progress(begin + (end - begin) * share, doing)
