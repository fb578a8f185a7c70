"""Search logs to the table `searches`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from shared.algorithms.contract import NotTrainable
from shared.algorithms.reading.attributes import pivoted
from shared.algorithms.reading.decisions import ATTRIBUTES, rewards_of
from shared.applications.contract import Application, FieldError
from shared.applications.search_ranking.application import SearchRanking
from shared.applications.search_ranking.log import SearchLog, read_log
from shared.applications.search_ranking.state import read_state
from shared.applications.search_ranking.weights import NAMES, WEIGHTS, normalised, read_weights

TABLE = "searches"
FACTS = ("purchase", "first_rank", "hits_at_5", "hits_at_10", "revenue")
#: One row for each search. `observation` is the raw state, `action` the seven weights, which sum to 1;
#: `logged_reward` is the one that the log states, null if it states none. The rest are facts of the outcome.
SCHEMA: Mapping[str, Any] = {
    "observation": pl.List(pl.Float64),
    "action": pl.List(pl.Float64),
    "reward": pl.Float64,
    "logged_reward": pl.Float64,
    **dict.fromkeys(FACTS, pl.Float64),
}


@dataclass(frozen=True, eq=False)
class Search:
    """A line that has been read."""

    log: SearchLog
    observation: list[float]
    action: list[float]


def read_line(application: Application, line: Mapping[str, Any]) -> Search:
    """Check one line, which must have state and action. Raises FieldError."""
    log = read_log(line)
    for name in ("state", "action"):
        if getattr(log, name) is None:
            raise FieldError(name, "missing: training needs it")
    given = line["state"]
    return Search(log, read_state(given).vector().tolist(), normalised(read_weights(log.action)).tolist())


def tables(application: Application, records: Sequence[Search]) -> dict[str, pl.DataFrame]:
    """The table `searches`, in the order of the lines."""
    rewards, components = rewards_of(application, [each.log.rows() for each in records])
    table = pl.DataFrame(
        {
            "observation": [each.observation for each in records],
            "action": [each.action for each in records],
            "reward": rewards,
            "logged_reward": [each.log.reward for each in records],
        },
        schema_overrides={"logged_reward": pl.Float64},
    )
    return {TABLE: _with_facts(table, components)}


def of_rewards(application: Application, rewards: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The same of archived rewards, whose actions are presets of weights, or weights that were given.

    Raises NotTrainable.
    """
    assert isinstance(application, SearchRanking)
    table = rewards.select(
        pl.col("context").cast(pl.List(pl.Float64)).alias("observation"),
        pl.Series("action", _weights(application, rewards), pl.List(pl.Float64)),
        "reward",
        pl.col("reward").alias("logged_reward"),
    )
    return {TABLE: _with_facts(table, rewards["components"])}


def _weights(application: SearchRanking, rewards: pl.DataFrame) -> list[list[float]]:
    """Of each decision; given weights are numbers among its attributes."""
    presets = {name: list(application.parameters(name).values()) for name in application.presets.presets}
    if unknown := sorted(set(rewards["action"].unique()) - presets.keys() - {WEIGHTS}):
        raise NotTrainable(f"rewards.action: {', '.join(unknown)}: no presets of weights")
    attributes = rewards["attributes"].cast(ATTRIBUTES)
    given = pivoted(attributes, dict.fromkeys(NAMES, pl.Float64)).rows()
    found = [
        list(own) if name == WEIGHTS else presets[name]
        for name, own in zip(rewards["action"], given, strict=True)
    ]
    broken = next((i for i, weights in enumerate(found) if None in weights), None)
    if broken is not None:
        missing = NAMES[found[broken].index(None)]  # type: ignore[arg-type]
        raise NotTrainable(f"rewards.attributes: row {broken} has the action {WEIGHTS} and no {missing}")
    return found


def _with_facts(table: pl.DataFrame, components: pl.Series) -> pl.DataFrame:
    facts = pivoted(components, dict.fromkeys(FACTS, pl.Float64), "value").fill_null(0.0)
    return pl.concat([table, facts], how="horizontal").select(
        pl.col(name).cast(kind) for name, kind in SCHEMA.items()
    )
