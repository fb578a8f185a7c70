"""What a call tells: signals, the whole record of feedback, and what of it may be stored."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from shared.applications.reading import Count, Number, Rating, Record, validated

Agent = Literal["TOM", "TOM_v1", "TOM_v2"]
Profile = Literal["kfz", "it", "sales", "support", "general"]

DIGITS = 16
"""Hex digits of a call's digest that stand for it."""


def _time(value: object) -> object:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None:
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass
    raise PydanticCustomError("time", "must be ISO 8601, as in 2026-01-31T12:00:00Z, or seconds since 1970")


Time = Annotated[datetime, BeforeValidator(_time)]


class Signals(Record):
    """What was measured of a call; absent signals are neutral."""

    resolution: bool | None = None
    user_rating: Rating | None = None
    barge_in_count: Count | None = None
    repeats: Count | None = None
    handover: bool | None = None
    duration_sec: Number | None = None
    escalation: bool | None = None
    satisfaction: Annotated[Number, Field(ge=-1, le=1)] | None = None


class Feedback(Record):
    """A call, who took it, and its signals."""

    call_id: Annotated[str, Field(min_length=1, max_length=100)]
    ts: Time
    agent: Agent
    profile: Profile
    policy_variant: Annotated[str, Field(pattern=r"^v[0-9]+[a-z]$", max_length=100)]
    signals: Signals

    def stored(self) -> dict[str, Any]:
        """The event as it may be kept: an anonymous call, its time floored to the hour, nothing else new."""
        return {
            "call": anonymous(self.call_id),
            "hour": hour(self.ts),
            **self.model_dump(include={"agent", "profile", "policy_variant"}),
            "signals": self.signals.model_dump(exclude_none=True),
        }


class Call(Record):
    """The facts of a call that a decision may bring; both are stored anonymised only."""

    call_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    ts: Time | None = None


def anonymous(call_id: str) -> str:
    """`anon_` and the first 16 hex digits of the SHA-256 digest of the id."""
    return f"anon_{hashlib.sha256(call_id.encode()).hexdigest()[:DIGITS]}"


def hour(moment: datetime) -> str:
    """The hour (UTC) that a moment lies in, as ISO 8601."""
    floored = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return floored.isoformat().replace("+00:00", "Z")


def read_feedback(line: Mapping[str, Any]) -> Feedback | Signals:
    """A line of feedback: the whole record, or the signals alone. Raises `FieldError`."""
    if line.keys() & Feedback.model_fields.keys():
        return validated(Feedback, line)
    return validated(Signals, line)
