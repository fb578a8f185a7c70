"""One line of input: what a listener did."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.applications.attributes import attribute
from shared.applications.contract import FieldError
from shared.applications.reading import Number, Record, validated

Mood = Annotated[str, Field(min_length=1, max_length=100)]


class Facts(Record):
    """What may be known of an interaction beside its type."""

    completion_percentage: Annotated[Number, Field(ge=0, le=100)] | None = None
    mood_before: Mood | None = None
    mood_after: Mood | None = None
    duration_seconds: Annotated[Number, Field(ge=0)] | None = None


class Interaction(Facts):
    """One interaction."""

    interaction_type: Literal["like", "dislike", "complete", "skip", "share", "play", "view"]

    def row(self) -> dict[str, Any]:
        """As the stream has it: `interaction_type` is the type, all else attributes."""
        given = self.model_dump(exclude_none=True, exclude={"interaction_type"})
        attributes = [attribute(name, value, name) for name, value in given.items()]
        return {"type": self.interaction_type, "value": None, "attributes": attributes}


def read_line(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One interaction, or `{"interactions": [...]}`, all of one decision. Raises `FieldError`."""
    if "interactions" not in line:
        return [validated(Interaction, line).row()]
    if unknown := sorted(line.keys() - {"interactions"}):
        raise FieldError(unknown[0], "unknown field beside interactions")
    several = line["interactions"]
    if not isinstance(several, list):
        raise FieldError("interactions", "must be a list")
    return [validated(Interaction, each, f"interactions[{i}]").row() for i, each in enumerate(several)]
