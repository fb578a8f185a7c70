"""Rated widgets to the table `preferences`; the table `ratings` tells what they were made of."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson
import polars as pl

from shared.algorithms.reading.attributes import pivoted
from shared.applications.contract import Application, FieldError
from shared.applications.dashboard_widgets.entries import Entry, Rated, Rating, rated, read_entry, read_rating
from shared.applications.dashboard_widgets.pairs import Pair, fixture_pairs, widget_pairs
from shared.applications.dashboard_widgets.prompts import widget_prompt
from shared.applications.reading import validated

#: One row for each pair; `kind` is widget or fixture.
PREFERENCES: Mapping[str, Any] = dict.fromkeys(
    ("kind", "question_id", "prompt", "chosen", "rejected"), pl.String
)
#: One row for each widget that was rated.
RATINGS: Mapping[str, Any] = {"question_id": pl.String, "liked": pl.Boolean}
_RAW = dict.fromkeys(("question_id", "question", "size", "domains", "entities"), pl.String)

#: A line is an entry, a rating of one, or a pair that was made before.
Line = Entry | Rating | Pair


def read_line(application: Application, line: Mapping[str, Any]) -> Line:
    """Check one line, which the fields that only its kind has tell apart. Raises FieldError."""
    if "chosen" in line:
        return validated(Pair, line)
    return read_rating(line) if "rating" in line else read_entry(line)


def problems(records: Sequence[Line]) -> Iterator[tuple[int, FieldError]]:
    """Entries that stand twice and ratings of none: (position, what is wrong)."""
    entries: set[str] = set()
    for position, record in enumerate(records):
        if isinstance(record, Entry):
            if record.entry_id in entries:
                yield position, FieldError("entry_id", f"{record.entry_id!r} is the id of another entry too")
            entries.add(record.entry_id)
    for position, record in enumerate(records):
        if isinstance(record, Rating) and record.entry_id not in entries:
            yield (
                position,
                FieldError("entry_id", f"{record.entry_id!r} is rated, but there is no such entry"),
            )


def tables(application: Application, records: Sequence[Line]) -> dict[str, pl.DataFrame]:
    """The tables `preferences` and `ratings`. Raises FieldError for what `problems` finds."""
    entries = [each for each in records if isinstance(each, Entry)]
    found = rated(entries, [each for each in records if isinstance(each, Rating)])
    given = [each for each in records if isinstance(each, Pair)]
    pairs = list(chain(given, widget_pairs(found), fixture_pairs(found)))
    return {
        "preferences": pl.DataFrame([pair.model_dump() for pair in pairs], schema=PREFERENCES),
        "ratings": _ratings(found),
    }


def of_rewards(application: Application, rewards: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The same from archived rewards, in which a scenario is liked that was so more often than not.

    Fixtures are in entries alone, so these are pairs of scenarios.
    """
    raw = pivoted(rewards["attributes"], _RAW)
    told = rewards.select("action", "reward").hstack(raw).filter(pl.col("reward") != 0)
    told = told.drop_nulls(["question_id", "question"])
    asked = told.group_by("question_id", maintain_order=True).agg(
        pl.col("question", "domains", "entities").first()
    )
    shown = (
        told.group_by("question_id", "action", "size", maintain_order=True)
        .agg(pl.col("reward").sum())
        .filter(pl.col("reward") != 0)
        .with_columns(liked=pl.col("reward") > 0, text=pl.format("{} ({})", "action", "size"))
        .with_columns(pl.coalesce("text", "action").alias("text"))
    )
    sides = asked.join(_side(shown, True, "chosen"), on="question_id", maintain_order="left").join(
        _side(shown, False, "rejected"), on="question_id", maintain_order="left"
    )
    pairs = [
        {
            "kind": "widget",
            "question_id": row["question_id"],
            "prompt": _prompt(application, row),
            "chosen": row["chosen"],
            "rejected": row["rejected"],
        }
        for row in sides.iter_rows(named=True)
    ]
    return {
        "preferences": pl.DataFrame(pairs, schema=PREFERENCES),
        "ratings": told.select("question_id", liked=pl.col("reward") > 0),
    }


def _ratings(found: Sequence[Rated]) -> pl.DataFrame:
    rows = [(each.entry.question_id, each.liked) for each in found]
    return pl.DataFrame(rows, schema=dict(RATINGS), orient="row")


def _side(shown: pl.DataFrame, liked: bool, name: str) -> pl.DataFrame:
    side = shown.filter(pl.col("liked") == liked)
    return side.group_by("question_id").agg(pl.col("text").sort().str.join(", ").alias(name))


def _prompt(application: Application, row: Mapping[str, Any]) -> str:
    domains, entities = (
        orjson.loads(row[name] or empty) for name, empty in (("domains", "[]"), ("entities", "{}"))
    )
    return widget_prompt(row["question"], domains, entities, application.actions)
