"""Listeners' histories to the table `histories`."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from shared.algorithms.contract import NotTrainable
from shared.algorithms.reading import decisions
from shared.algorithms.reading.attributes import pivoted
from shared.applications.contract import Application
from shared.applications.entertainment.application import Entertainment
from shared.applications.entertainment.reward import INTERACTIONS
from shared.applications.entertainment.state import TRAITS

TABLE = "histories"
#: One row for each decision, by time; `state` is the key of the table of states, `liked` 1 or 0.
SCHEMA: Mapping[str, Any] = {
    "decision_id": pl.String,
    "subject_id": pl.String,
    "time": pl.Int64,
    "state": pl.String,
    "context": pl.List(pl.Float64),
    "action": pl.String,
    "reward": pl.Float64,
    "liked": pl.Float64,
}
_RAW = dict.fromkeys(TRAITS, pl.Float64) | {"content_type": pl.String, "mood": pl.String, "hour": pl.Float64}

read_line = decisions.read_line


def tables(application: Application, records: Sequence[decisions.Logged]) -> dict[str, pl.DataFrame]:
    """The tables `rewards` and `histories`."""
    found = decisions.tables(application, records)
    return found | of_rewards(application, found["rewards"])


def of_rewards(application: Application, rewards: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The table `histories`. A decision is liked if its interactions alone are worth a like or more.

    Raises NotTrainable for decisions whose raw context was not logged.
    """
    assert isinstance(application, Entertainment)
    raw = pivoted(rewards["attributes"], _RAW)
    if lost := sum(raw.null_count().row(0)):
        raise NotTrainable(f"rewards.attributes: {lost} values of contexts are missing")
    worth = pivoted(rewards["components"], {"interaction": pl.Float64}, "value")["interaction"]
    histories = rewards.with_columns(
        pl.Series("state", application.states.states(raw), pl.String),
        (worth.fill_null(0.0) >= INTERACTIONS["like"]).cast(pl.Float64).alias("liked"),
    )
    return {TABLE: histories.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())}
