"""Feedback on answers to the tables `feedback` and `preferences`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from shared.algorithms.reading.attributes import pivoted
from shared.applications.assistant.feedback import POSITIVE_RATING, Feedback, pairs, read_feedback
from shared.applications.assistant.reward import FEEDBACK, RATING, STARS
from shared.applications.contract import Application

#: One row for each judgement of an answer, in order of time.
LABELS: Mapping[str, Any] = {"query": pl.String, "response": pl.String, "positive": pl.Boolean}
#: One row for each correction: what a user wrote is better than what was answered.
PREFERENCES: Mapping[str, Any] = {"query": pl.String, "chosen": pl.String, "rejected": pl.String}


def read_line(application: Application, line: Mapping[str, Any]) -> Feedback:
    """Check one line. Raises FieldError."""
    return read_feedback(line)


def tables(application: Application, records: Sequence[Feedback]) -> dict[str, pl.DataFrame]:
    """The tables `feedback` and `preferences`, in the order of the lines."""
    labels = [(each.query, each.response, each.positive) for each in records]
    return {
        "feedback": pl.DataFrame(labels, schema=dict(LABELS), orient="row"),
        "preferences": pl.DataFrame([asdict(pair) for pair in pairs(records)], schema=PREFERENCES),
    }


def of_rewards(application: Application, rewards: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The table `feedback` without responses, which rewards do not tell: of queries that were judged."""
    asked = pivoted(rewards["attributes"], {"query": pl.String})
    judged = rewards.hstack(asked).filter(~pl.col("is_default")).drop_nulls("query")
    return {"feedback": judged.select("query", positive=pl.col("reward") > 0)}


def of_interactions(
    application: Application, rewards: pl.DataFrame, interactions: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Both tables, from what was said after the decisions; what names no response cannot be learnt from."""
    told = pivoted(interactions["attributes"], dict.fromkeys(("query", "response", "correction"), pl.String))
    asked = rewards.select("decision_id").hstack(
        pivoted(rewards["attributes"], {"query": pl.String}).rename({"query": "asked"})
    )
    said = (
        interactions.drop("attributes")
        .hstack(told)
        .join(asked, on="decision_id", maintain_order="left")
        .with_columns(pl.coalesce("query", "asked").alias("query"))
        .drop_nulls(["query", "response"])
    )
    rated = (pl.col("type") == RATING) & pl.col("value").is_in([float(star) for star in STARS])
    positive = (pl.col("type") == "thumbs_up") | (rated & (pl.col("value") >= POSITIVE_RATING))
    labels = said.filter(pl.col("type").is_in(list(FEEDBACK)) | rated)
    corrected = said.filter(
        (pl.col("type") == "correction") & (pl.col("correction") != pl.col("response"))
    ).select("query", chosen="correction", rejected="response")
    return {
        "feedback": labels.select("query", "response", positive=positive.fill_null(False)),
        "preferences": corrected,
    }
