"""What was shown for a question, and how it was rated."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.applications.contract import FieldError
from shared.applications.reading import Id, Record, Text, validated

Scenario = Literal[
    "kpi",
    "trend",
    "comparison",
    "table",
    "alert",
    "gauge",
    "status",
    "list",
    "chart",
    "map",
    "timeline",
    "progress",
    "meter",
    "indicator",
    "summary",
    "pie",
    "bar",
    "donut",
    "heatmap",
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
#: An entity's value as it stands in a prompt.
Entity = str | bool | int | float
Domains = Annotated[list[Name], Field(max_length=1_000)]
Entities = Annotated[dict[Name, Entity | list[Entity]], Field(max_length=1_000)]


class Intent(Record):
    """What was understood of a question."""

    domains: Domains = Field(default_factory=list)
    entities: Entities = Field(default_factory=dict)


class PipelineMeta(Record):
    """What the pipeline in front of the widgets found."""

    intent: Intent


class Entry(Record):
    """A widget that was shown: a scenario of a size, filled with a fixture."""

    entry_id: Id
    question_id: Id
    question: Text
    scenario: Scenario
    fixture: Name
    size: Name
    description: Text | None = None
    pipeline_meta: PipelineMeta
    data_override: Any = None


class Rating(Record):
    """What a user said of an entry."""

    entry_id: Id
    rating: Literal["up", "down"]
    tags: Annotated[list[Name], Field(max_length=1_000)] | None = None
    notes: Text | None = None


class Told(Record):
    """The attributes of a rating in the stream; `tags` is JSON."""

    rating: Literal["up", "down"]
    entry_id: Id | None = None
    fixture: Name | None = None
    tags: Text | None = None
    notes: Text | None = None


@dataclass(frozen=True)
class Rated:
    """An entry and its latest rating."""

    entry: Entry
    liked: bool


def read_entry(line: Mapping[str, Any]) -> Entry:
    """One entry. Raises `FieldError`."""
    return validated(Entry, line)


def read_rating(line: Mapping[str, Any]) -> Rating:
    """One rating. Raises `FieldError`."""
    return validated(Rating, line)


def rated(entries: Iterable[Entry], ratings: Iterable[Rating]) -> list[Rated]:
    """The entries that have a rating, in their order.

    Raises `FieldError` for an entry that stands twice, and for a rating of an entry that is not there.
    """
    known: dict[str, Entry] = {}
    for entry in entries:
        if known.setdefault(entry.entry_id, entry) is not entry:
            raise FieldError("entry_id", f"{entry.entry_id!r} is the id of two entries")
    liked: dict[str, bool] = {}
    for rating in ratings:
        if rating.entry_id not in known:
            raise FieldError("entry_id", f"{rating.entry_id!r} is rated, but there is no such entry")
        liked[rating.entry_id] = rating.rating == "up"
    return [Rated(entry, liked[name]) for name, entry in known.items() if name in liked]
