"""Feedback on an answer: one line of input, its label, and the preference that a correction states."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from shared.applications.attributes import attribute
from shared.applications.contract import FieldError
from shared.applications.reading import LONGEST_TEXT, Rating, Record, Text, validated

POSITIVE_RATING = 4
"""A rating from here on is positive."""


class Feedback(Record):
    """What a user said of an answer."""

    query: Text
    response: Text
    feedback_type: Literal["thumbs_up", "thumbs_down", "rating", "correction"]
    rating: Rating | None = None
    correction: Text | None = None
    metadata: dict[str, Any] | None = None

    @property
    def positive(self) -> bool:
        """The label: thumbs up, or a rating of 4 or 5; everything else is negative."""
        if self.feedback_type == "rating":
            return self.rating is not None and self.rating >= POSITIVE_RATING
        return self.feedback_type == "thumbs_up"

    def row(self) -> dict[str, Any]:
        """As the stream has it: the type, a rating as the value, the texts as attributes."""
        texts = {"query": self.query, "response": self.response, "correction": self.correction}
        if self.metadata is not None:
            texts["metadata"] = orjson.dumps(self.metadata).decode()
        return {
            "type": self.feedback_type,
            "value": float(self.rating) if self.feedback_type == "rating" and self.rating else None,
            "attributes": [attribute(name, text, name) for name, text in texts.items() if text is not None],
        }


class Texts(Record):
    """The attributes of feedback in the stream; `metadata` is JSON."""

    query: Text | None = None
    response: Text | None = None
    correction: Text | None = None
    metadata: Text | None = None


@dataclass(frozen=True)
class Pair:
    """A preference: for the query, `chosen` is better than `rejected`."""

    query: str
    chosen: str
    rejected: str


def read_feedback(line: Mapping[str, Any]) -> Feedback:
    """One line. Raises `FieldError`."""
    found = validated(Feedback, line)
    for name in ("rating", "correction"):
        if found.feedback_type == name and getattr(found, name) is None:
            raise FieldError(name, f"missing: feedback_type is {name}")
    if found.metadata is not None:
        _check_metadata(found.metadata)
    return found


def pairs(feedback: Iterable[Feedback]) -> Iterator[Pair]:
    """correction ≻ response for each correction that changes anything."""
    for each in feedback:
        if each.feedback_type == "correction" and each.correction and each.correction != each.response:
            yield Pair(each.query, each.correction, each.response)


def _check_metadata(metadata: dict[str, Any]) -> None:
    try:
        size = len(orjson.dumps(metadata))
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise FieldError("metadata", f"must be JSON: {error}") from error
    if size > LONGEST_TEXT:
        raise FieldError("metadata", f"must have at most {LONGEST_TEXT} bytes as JSON")
