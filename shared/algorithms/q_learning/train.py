"""Tabular Q-learning (Watkins 1989) over users' interactions in order of time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shared.algorithms import histories
from shared.algorithms.artefacts import previous_artefact
from shared.algorithms.contract import Dataset, NotTrainable, Progress
from shared.algorithms.q_learning.comparing import compared
from shared.algorithms.q_learning.declaration import Parameters
from shared.algorithms.q_learning.policy import TablePolicy, bonus
from shared.algorithms.q_learning.table import QTable
from shared.applications.entertainment.state import read_state_settings

#: Parts of progress.
STEPS = 20


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of users, states and interactions in the window."""
    return histories.report(histories.read(data, parameters.window_days))


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Learn all of the window, in order; go on from the previous table if there is one. Draws nothing."""
    frame = histories.read(data, parameters.window_days)
    before = previous_artefact(data, "q_learning")
    table = QTable.new(data.actions, parameters)
    if before is not None:
        table = QTable.load(before.file("q_table.json"), parameters)
        if list(table.actions) != list(data.actions):
            raise NotTrainable("previous: its actions are not the application's")
    metrics = _judge(frame, table, parameters)
    progress(0.2, f"learning {len(frame)} interactions")
    _learn(table, frame, progress)
    served = table.served()
    if not served.updates:
        raise NotTrainable(f"histories: no user has {parameters.min_interactions} interactions yet")
    table.save(out / "q_table.json")
    _policy(served).save(out / "policy.json")
    progress(1.0, "done")
    return metrics | _figures(frame, table, served, parameters)


def _learn(table: QTable, frame: pl.DataFrame, progress: Progress | None = None) -> None:
    place = {name: i for i, name in enumerate(table.actions)}
    columns = frame.select("subject_id", "state", "action", "reward", "time", "decision_id")
    for i, (subject, state, action, reward, time, decision) in enumerate(columns.iter_rows()):
        table.learn(subject, (state, place[action], reward), (time, decision))
        if progress is not None and i % (len(frame) // STEPS + 1) == 0:
            progress(0.2 + 0.7 * i / len(frame), f"learning {len(frame)} interactions")


def _policy(served: QTable) -> TablePolicy:
    chosen, states = served.parameters, read_state_settings()
    if chosen.selection == "epsilon":
        return TablePolicy(served.actions, served.epsilon, states, served.values)
    bounds = {
        state: values + bonus(served.visits[state], chosen.c)
        for state, values in served.values.items()
        if state in served.visits
    }
    return TablePolicy(served.actions, chosen.epsilon_floor, states, bounds)


def _judge(frame: pl.DataFrame, start: QTable, parameters: Parameters) -> dict[str, float]:
    """The policy learnt before the last days, on those days, beside the rules; {} if there is no before."""
    earlier, last = histories.earlier_and_last(frame, parameters.evaluation_days)
    if earlier.is_empty():
        return {}
    table = QTable.new(start.actions, parameters)
    _learn(table, earlier)
    return compared(_policy(table.served()), last)


def _figures(frame: pl.DataFrame, table: QTable, served: QTable, parameters: Parameters) -> dict[str, float]:
    known = served.known()
    return histories.gates(frame, parameters.gate_interactions, parameters.gate_reward) | {
        "users": float(frame["subject_id"].n_unique()),
        "users_counted": float(len(table.counted)),
        "updates": float(served.updates),
        "states": float(len(served.visits)),
        "state_actions": float(len(known)),
        "q_mean": float(known.mean()),
        "q_max": float(known.max()),
        "q_min": float(known.min()),
        "epsilon": served.epsilon,
    }
