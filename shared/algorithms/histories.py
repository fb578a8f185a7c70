"""Listeners' histories, for every algorithm of the recommender: the window, and how a policy did in it."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.reading.entertainment import SCHEMA, TABLE
from shared.applications.entertainment.strategies import Diversity, Energy, Novelty
from shared.core.arrays import Floats

DAY_MS = 86_400_000

#: Rows of histories → the chance, (n,), that a policy gives to each row's action.
Agreement = Callable[[pl.DataFrame], Floats]


def read(data: Dataset, window_days: float, actions: int = 2) -> pl.DataFrame:
    """Histories of the last days before the latest row, in order of time and id. Raises NotTrainable."""
    frame = data.table(TABLE, SCHEMA)
    if not data.actions:
        raise NotTrainable(f"{data.application}: a list of actions is needed")
    if unknown := sorted(set(frame["action"].unique()) - set(data.actions)):
        raise NotTrainable(f"{TABLE}.action: {', '.join(unknown[:5])}: no actions of {data.application}")
    since = int(frame["time"].max()) - round(window_days * DAY_MS)  # type: ignore[arg-type]
    frame = frame.filter(pl.col("time") > since).sort("time", "decision_id")
    if frame["action"].n_unique() < actions:
        raise NotTrainable(f"{TABLE}.action: all are {frame['action'][0]}; at least two must have been tried")
    if frame["reward"].n_unique() < 2:
        raise NotTrainable(f"{TABLE}.reward: all are {frame['reward'][0]:g}; nothing tells actions apart")
    return frame


def with_enough(frame: pl.DataFrame, least: int, what: str = "interactions") -> pl.DataFrame:
    """The rows of subjects that have at least so many. Raises NotTrainable if nobody has."""
    kept = frame.filter(pl.len().over("subject_id") >= least)
    if kept.is_empty():
        raise NotTrainable(f"{TABLE}: no subject has {least} {what}")
    return kept


def earlier_and_last(frame: pl.DataFrame, days: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows before the last days, and those of the last days."""
    since = int(frame["time"].max()) - round(days * DAY_MS)  # type: ignore[arg-type]
    return frame.filter(pl.col("time") <= since), frame.filter(pl.col("time") > since)


def evaluation(last: pl.DataFrame, agreement: Agreement, prefix: str = "policy_") -> dict[str, float]:
    """Mean reward and like rate of a log's rows, and of those in which the policy would have done the same.

    Rows count by the chance that the policy takes the logged action: right if actions were logged uniformly,
    a hint otherwise. Without any such row, the policy's figures are left out.
    """
    reward, liked = last["reward"].to_numpy(), last["liked"].to_numpy()
    found = {"logged_reward": float(reward.mean()), "logged_like_rate": float(liked.mean())}
    weights = agreement(last)
    if weights.sum() > 0:
        found[f"{prefix}reward"] = float((weights * reward).sum() / weights.sum())
        found[f"{prefix}like_rate"] = float((weights * liked).sum() / weights.sum())
        found[f"{prefix}effective_sample"] = float(weights.sum() ** 2 / (weights**2).sum())
    return found


def rule_based(frame: pl.DataFrame) -> Floats:
    """Agreement with the rules that one would write by hand: familiar to the closed, diverse to the open, …

    Energy follows extraversion, diversity openness, novelty openness against neuroticism.
    """
    traits = np.array(frame["context"].to_list())[:, :5]
    openness, extraversion, neuroticism = traits[:, 0], traits[:, 2], traits[:, 4]
    energy = np.digitize(extraversion, [-1 / 3, 1 / 3])
    diversity = np.digitize(openness, [-1 / 3, 1 / 3])
    novelty = np.digitize((openness - neuroticism) / 2, [-1 / 3, 1 / 3])
    names = [get_args(part) for part in (Energy, Diversity, Novelty)]
    chosen = [
        "_".join(words[i] for words, i in zip(names, row, strict=True))
        for row in zip(energy, diversity, novelty, strict=True)
    ]
    return (frame["action"] == pl.Series(chosen)).to_numpy().astype(np.float64)


def gates(frame: pl.DataFrame, interactions: int, reward: float) -> dict[str, float]:
    """Whether the data pass: 1 for at least so many rows with a mean reward above a limit, else 0."""
    mean = float(frame["reward"].mean())  # type: ignore[arg-type]
    return {
        "interactions": float(len(frame)),
        "average_reward": mean,
        "passes_gates": float(len(frame) >= interactions and mean > reward),
    }


def report(frame: pl.DataFrame) -> Mapping[str, Any]:
    """Counts, for a dry run."""
    return {
        "interactions": len(frame),
        "subjects": frame["subject_id"].n_unique(),
        "states": frame["state"].n_unique(),
        "actions": frame["action"].n_unique(),
        "average_reward": frame["reward"].mean(),
        "like_rate": frame["liked"].mean(),
    }
