"""Lines of decisions with what followed: for every application that has no form of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from shared.algorithms.rewards import TABLE
from shared.applications.contract import INTERACTION_COLUMNS, Application, FieldError
from shared.applications.reading import Id, Number, Record, validated

ATTRIBUTES = pl.List(pl.Struct({"name": pl.String, "number": pl.Float64, "text": pl.String}))
COMPONENTS = pl.List(pl.Struct({"name": pl.String, "value": pl.Float64}))
#: The table `rewards` as lines give it; the archive's has more columns.
SCHEMA: Mapping[str, Any] = {
    "decision_id": pl.String,
    "subject_id": pl.String,
    "time": pl.Int64,
    "context": pl.List(pl.Float64),
    "attributes": ATTRIBUTES,
    "action": pl.String,
    "propensity": pl.Float64,
    "reward": pl.Float64,
    "components": COMPONENTS,
    "is_default": pl.Boolean,
}


def _milliseconds(value: object) -> object:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return round(datetime.fromtimestamp(value, UTC).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        pass
    raise PydanticCustomError("time", "must be ISO 8601, as in 2026-01-31T12:00:00Z, or seconds since 1970")


Time = Annotated[int, BeforeValidator(_milliseconds)]


class DecisionLine(Record):
    """One decision and what followed: `interactions` as for `streamwheel reward`, or their `reward`."""

    decision_id: Id | None = None
    subject_id: Id
    time: Time
    context: dict[str, Any]
    action: Id
    propensity: Annotated[Number, Field(gt=0, le=1)] | None = None
    interactions: list[dict[str, Any]] | None = None
    reward: Number | None = None


@dataclass(frozen=True, eq=False)
class Logged:
    """A line that has been read: the decision's fields, and its interactions' rows."""

    decision: Mapping[str, Any]
    interactions: Sequence[Mapping[str, Any]]
    reward: float | None


def read_line(application: Application, line: Mapping[str, Any]) -> Logged:
    """Check one line. Raises FieldError."""
    read = validated(DecisionLine, line)
    if (read.interactions is None) == (read.reward is None):
        raise FieldError("reward", "one of reward and interactions is needed, and not both")
    if application.actions and read.action not in application.actions:
        raise FieldError("action", f"{read.action!r} is no action of {application.name}")
    rows = [] if not read.interactions else application.read_line({"interactions": read.interactions})
    decision = {
        **read.model_dump(include={"decision_id", "subject_id", "time", "action", "propensity"}),
        "context": application.featurise(read.context).tolist(),
        "attributes": application.attributes(read.context),
    }
    return Logged(decision, rows, read.reward)


def tables(application: Application, records: Sequence[Logged]) -> dict[str, pl.DataFrame]:
    """The table `rewards`, in order of time; a decision without id is named by its place."""
    rewards, components = rewards_of(application, [each.interactions for each in records])
    frame = pl.DataFrame([dict(each.decision) for each in records], schema_overrides=_given(SCHEMA))
    stated = pl.Series([each.reward for each in records], dtype=pl.Float64)
    silent = pl.Series([each.reward is None and not each.interactions for each in records])
    place = pl.int_range(pl.len()).cast(pl.String)
    frame = frame.with_columns(
        pl.col("decision_id").fill_null(place),
        stated.fill_null(pl.Series(rewards)).alias("reward"),
        components.alias("components"),
        silent.alias("is_default"),
    )
    return {TABLE: frame.select(list(SCHEMA)).sort("time", maintain_order=True)}


def rewards_of(
    application: Application, interactions: Sequence[Sequence[Mapping[str, Any]]]
) -> tuple[np.ndarray, pl.Series]:
    """Rewards (n,) and their components, as the archive has them, of n lists of interactions' rows."""
    owner = np.repeat(np.arange(len(interactions)), [len(rows) for rows in interactions])
    every = [dict(row) for rows in interactions for row in rows]
    found = application.reward(pl.DataFrame(every, schema=INTERACTION_COLUMNS), owner, len(interactions))
    parts = {name: values.tolist() for name, values in found.components.items()}
    named = [
        [{"name": name, "value": values[i]} for name, values in parts.items()]
        for i in range(len(interactions))
    ]
    return found.reward, pl.Series(named, dtype=COMPONENTS)


def _given(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kind for name, kind in schema.items() if name not in ("reward", "components", "is_default")}
