"""Records of retrain-triggers and candidates as values: a request to train, and how it stands."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

import orjson

from shared.wire.codec import WireError, decode, encode
from shared.wire.schemas import schema

Reason = Literal["count", "schedule", "drift", "manual"]
Status = Literal["running", "trained", "failed", "cancelled", "refused"]
REASONS: tuple[str, ...] = get_args(Reason)
STATUSES: tuple[str, ...] = get_args(Status)
#: A request with one of these is answered.
TERMINAL = frozenset(STATUSES) - {"running"}


@dataclass(frozen=True, order=True)
class Span:
    """Rewards of one partition at offsets in [first, next)."""

    partition: int
    first: int
    next: int

    def record(self) -> dict[str, int]:
        """As the schemas have it."""
        return {"partition": self.partition, "first_offset": self.first, "next_offset": self.next}


@dataclass(frozen=True)
class Trigger:
    """A request to train; see schemas/retrain-triggers.avsc. Times are milliseconds since 1970."""

    request_id: str
    application: str
    reason: Reason
    requested_by: str
    requested_at: int
    algorithm: str | None = None
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    data: tuple[Span, ...] = ()
    days: float | None = None
    seed: int | None = None

    @property
    def wish(self) -> tuple[object, ...]:
        """What is asked for: two requests of which this is equal want the same training."""
        options = orjson.dumps(self.parameters, option=orjson.OPT_SORT_KEYS)
        return self.application, self.algorithm, self.preset, options, self.data, self.days, self.seed

    def encode(self) -> bytes:
        """The record. Raises WireError."""
        return encode(schema("retrain-triggers"), _record(self))


@dataclass(frozen=True)
class Candidate:
    """How a request stands; see schemas/candidates.avsc."""

    request_id: str
    application: str
    status: Status
    requested_at: int
    at: int
    algorithm: str = ""
    joined: tuple[str, ...] = ()
    reason: str = ""
    candidate_id: str = ""
    artefact: str = ""
    manifest_sha256: str = ""
    previous: str = ""
    lineage: tuple[Span, ...] = ()
    decided_from: int = 0
    rows: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    attempt: int = 0
    progress: float = 0.0
    message: str = ""
    started_at: int | None = None

    @property
    def terminal(self) -> bool:
        """Whether its requests are answered with it."""
        return self.status in TERMINAL

    @property
    def requests(self) -> tuple[str, ...]:
        """Ids of all requests that it answers."""
        return (self.request_id, *self.joined)

    def encode(self) -> bytes:
        """The record. Raises WireError."""
        record = _record(self)
        record["metrics"] = [{"name": name, "value": value} for name, value in self.metrics.items()]
        return encode(schema("candidates"), record)


def read_trigger(raw: bytes | None) -> Trigger:
    """The request in a record's value. Raises WireError, `malformed` for values that make no request."""
    record = decode(schema("retrain-triggers"), raw)
    _text(record, "request_id", "application")
    _known(record, "reason", REASONS)
    return Trigger(**record | {"data": _spans(record["data"]), "parameters": _parameters(record)})


def read_candidate(raw: bytes | None) -> Candidate:
    """The answer in a record's value. Raises WireError, `malformed` for values that make no answer."""
    record = decode(schema("candidates"), raw)
    _text(record, "request_id", "application")
    _known(record, "status", STATUSES)
    changed = {
        "joined": tuple(record["joined"]),
        "lineage": _spans(record["lineage"]),
        "parameters": _parameters(record),
        "metrics": {each["name"]: each["value"] for each in record["metrics"]},
    }
    return Candidate(**record | changed)


def _record(value: Trigger | Candidate) -> dict[str, Any]:
    record = {each.name: getattr(value, each.name) for each in fields(value)}
    spans = "data" if isinstance(value, Trigger) else "lineage"
    record[spans] = [span.record() for span in record[spans]]
    record["parameters"] = orjson.dumps(value.parameters).decode() if value.parameters else ""
    return {name: list(each) if isinstance(each, tuple) else each for name, each in record.items()}


def _spans(ranges: Iterable[Mapping[str, int]]) -> tuple[Span, ...]:
    spans = tuple(Span(each["partition"], each["first_offset"], each["next_offset"]) for each in ranges)
    for span in spans:
        if span.partition < 0 or not 0 <= span.first < span.next:
            raise WireError("malformed", f"{asdict(span)} is no range of offsets")
    return spans


def _parameters(record: Mapping[str, Any]) -> dict[str, Any]:
    text = record["parameters"]
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as error:
        raise WireError("malformed", f"parameters: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise WireError("malformed", "parameters: not a JSON object")
    return found


def _text(record: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not record[name]:
            raise WireError("malformed", f"{name} is empty")


def _known(record: Mapping[str, Any], name: str, values: tuple[str, ...]) -> None:
    if record[name] not in values:
        raise WireError("malformed", f"{name}: {record[name]!r:.100} is not one of {', '.join(values)}")
