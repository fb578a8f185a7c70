"""Conservative Q-learning (Kumar et al. 2020) with d3rlpy: ranking weights from logged searches.

Values of actions that were not logged are pushed down, so where data are missing, the policy stays with what
was done. The behaviour policy's density is not logged for continuous actions: it is estimated
(`figures.Behaviour`), for importance sampling alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch

from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.cql import figures
from shared.algorithms.cql.declaration import Parameters
from shared.algorithms.cql.policy import from_network, save_scaler, to_network
from shared.algorithms.cql.searches import Searches, read, split, summary
from shared.algorithms.deep.training import algos, dataset, encoder, fit, keep, workspace
from shared.applications.search_ranking.state import Scaler
from shared.core.arrays import Floats

__all__ = ["Parameters", "summary", "train"]


class Actor(torch.nn.Module):  # type: ignore[misc]
    """Standardised states (n, 23) to actions within [-1, 1], (n, 7)."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, states: Any) -> Any:
        """As the trained policy acts without exploration."""
        return self.policy(states).squashed_mu


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Fit, measure on the test part, and write `policy.onnx`, its parameters and `scaler.json`."""
    searches = read(data, parameters)
    parts = split(len(searches.rewards), parameters, seed)
    seen, watched, tested = (searches.part(rows) for rows in (parts.train, parts.validation, parts.test))
    scaler = Scaler.fit(seen.states) if parameters.normalize else None
    steps = parameters.epochs * max(1, len(seen.rewards) // parameters.batch_size)
    with workspace(seed):
        algorithm = fit(configuration(parameters), transitions(seen, scaler), steps, progress)
        difference = keep(Actor(algorithm.impl.policy), _scaled(tested, scaler)[:1000], out, "policy")
        metrics = _measure(algorithm, seen, watched, tested, scaler, parameters, seed)
    save_scaler(out / "scaler.json", scaler)
    if parameters.save_processed_logs:
        _save(out / "processed.jsonl", searches, scaler)
    progress(1.0, "done")
    counts = {"searches": len(searches.rewards), "set_aside": searches.set_aside, "steps": steps}
    return metrics | {name: float(count) for name, count in counts.items()} | {"onnx_difference": difference}


def configuration(parameters: Parameters) -> Any:
    """The same as d3rlpy has it."""
    return algos.CQLConfig(
        batch_size=parameters.batch_size,
        gamma=parameters.gamma,
        actor_learning_rate=parameters.actor_lr,
        critic_learning_rate=parameters.critic_lr,
        conservative_weight=parameters.conservative_weight,
        n_critics=parameters.critics,
        n_action_samples=parameters.action_samples,
        tau=parameters.tau,
        actor_encoder_factory=encoder(parameters.hidden),
        critic_encoder_factory=encoder(parameters.hidden),
    )


def transitions(searches: Searches, scaler: Scaler | None) -> Any:
    """Searches as d3rlpy has them: each is an episode."""
    actions = to_network(searches.actions).astype(np.float32)
    return dataset(_scaled(searches, scaler), actions, searches.rewards, np.ones(len(actions)))


def _scaled(searches: Searches, scaler: Scaler | None) -> Floats:
    return searches.states if scaler is None else scaler(searches.states)


def _measure(
    algorithm: Any,
    seen: Searches,
    watched: Searches,
    tested: Searches,
    scaler: Scaler | None,
    parameters: Parameters,
    seed: int,
) -> dict[str, float]:
    states = _scaled(tested, scaler)
    raw = algorithm.predict(states.astype(np.float32))
    wanted = from_network(raw)
    values = _values(algorithm, states, raw)
    logged = _values(algorithm, _scaled(watched, scaler), to_network(watched.actions))
    behaviour = figures.Behaviour(_scaled(seen, scaler), seen.actions)
    ratio = behaviour.log_ratio(states, tested.actions, wanted)
    bought = (tested.facts["purchase"] > 0).astype(np.float64)
    return (
        figures.of_log(tested)
        | figures.importance_sampling(ratio, bought, parameters.min_effective_sample, seed)
        | {
            "action_mse": float(((wanted - tested.actions) ** 2).mean()),
            "q_mean": float(values.mean()),
            "q_deviation": float(values.std()),
            "q_min": float(values.min()),
            "q_max": float(values.max()),
            "validation_error": float(((logged - watched.rewards) ** 2).mean()),
        }
    )


def _values(algorithm: Any, states: Floats, actions: Floats) -> Floats:
    found = algorithm.predict_value(states.astype(np.float32), np.asarray(actions, np.float32))
    return np.asarray(found, np.float64)


def _save(file: Path, searches: Searches, scaler: Scaler | None) -> None:
    rows = zip(
        _scaled(searches, scaler).tolist(), searches.actions.tolist(), searches.rewards.tolist(), strict=True
    )
    lines = (
        orjson.dumps({"state": state, "action": action, "reward": reward}) for state, action, reward in rows
    )
    file.write_bytes(b"\n".join(lines) + b"\n")
