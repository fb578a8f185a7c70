"""Call feedback to the table `calls`."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from shared.algorithms.reading.attributes import pivoted
from shared.algorithms.reading.decisions import rewards_of
from shared.applications.contract import Application, FieldError
from shared.applications.voice_assistant.reward import DISTURBED, MOST_DISTURBANCES, RATED, RESOLVED
from shared.applications.voice_assistant.signals import Feedback, read_feedback
from shared.applications.voice_assistant.variants import read_variants

TABLE = "calls"
#: `time` in milliseconds since 1970; signals that were not given are null.
SCHEMA: Mapping[str, Any] = {
    "time": pl.Int64,
    "agent": pl.String,
    "profile": pl.String,
    "variant": pl.String,
    "reward": pl.Float64,
    "resolution": pl.Float64,
    "user_rating": pl.Float64,
    "barge_in_count": pl.Float64,
    "repeats": pl.Float64,
    "duration_sec": pl.Float64,
    "escalation": pl.Float64,
}
_SIGNALS = [name for name, kind in list(SCHEMA.items())[5:] if kind == pl.Float64]


def read_line(application: Application, line: Mapping[str, Any]) -> Feedback:
    """Check one line, which must be a whole record of feedback. Raises FieldError."""
    found = read_feedback(line)
    if not isinstance(found, Feedback):
        raise FieldError("call_id", "missing: training needs whole records, not signals alone")
    if found.policy_variant not in read_variants().variants:
        raise FieldError("policy_variant", f"{found.policy_variant!r} has no slots in variants.yaml")
    return found


def tables(application: Application, records: Sequence[Feedback]) -> dict[str, pl.DataFrame]:
    """The table `calls`, in order of time."""
    given = [each.signals.model_dump() for each in records]
    interactions = [
        application.read_line({key: value for key, value in signals.items() if value is not None})
        for signals in given
    ]
    rewards, _ = rewards_of(application, interactions)
    rows = [
        {
            "time": round(each.ts.timestamp() * 1000),
            "agent": each.agent,
            "profile": each.profile,
            "variant": each.policy_variant,
            "reward": reward,
            **{name: None if signals[name] is None else float(signals[name]) for name in _SIGNALS},
        }
        for each, signals, reward in zip(records, given, rewards.tolist(), strict=True)
    ]
    return {TABLE: pl.DataFrame(rows, schema=SCHEMA).sort("time", maintain_order=True)}


def of_rewards(application: Application, rewards: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The same from archived rewards, whose components tell resolution, rating, barge-ins and repeats.

    Counts are known up to 3, from where on they cost no more; duration and escalation are not known.
    """
    who = pivoted(rewards["attributes"], {"agent": pl.String, "profile": pl.String})
    names = dict.fromkeys(("resolution", "rating", "barge_in", "repeats"), pl.Float64)
    part = pivoted(rewards["components"], names, "value")
    calls = pl.concat([rewards.select("time", "reward", variant="action"), who, part], how="horizontal")
    missing = pl.lit(None, pl.Float64)
    calls = calls.with_columns(
        resolution=pl.col("resolution") / RESOLVED,
        user_rating=pl.col("rating") / RATED * 2 + 3,
        barge_in_count=-pl.col("barge_in") / DISTURBED * MOST_DISTURBANCES,
        repeats=-pl.col("repeats") / DISTURBED * MOST_DISTURBANCES,
        duration_sec=missing,
        escalation=missing,
    )
    return {TABLE: calls.select(list(SCHEMA)).drop_nulls("profile")}
