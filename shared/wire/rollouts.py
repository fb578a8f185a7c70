"""Records of evaluations, deployments and deployment-events as values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import orjson

from shared.wire.codec import WireError, decode, encode
from shared.wire.schemas import schema
from shared.wire.training import Span

Kind = Literal["log", "shadow", "stage"]
Verdict = Literal["pass", "fail", "inconclusive", "refused"]
Arm = Literal["stable", "canary"]
KINDS: tuple[str, ...] = get_args(Kind)
VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is."""

    name: str
    detail: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class MetricEstimate:
    """One metric of candidate and baseline, and their difference (candidate less baseline)."""

    name: str
    estimator: str
    value: float
    low: float
    high: float
    baseline: float
    difference: float
    difference_low: float
    difference_high: float
    verdict: Verdict


@dataclass(frozen=True)
class Evaluation:
    """What logged decisions say of a candidate; see schemas/evaluations.avsc. Times in ms since 1970."""

    evaluation_id: str
    application: str
    candidate_id: str
    kind: Kind
    verdict: Verdict
    at: int
    algorithm: str = ""
    artefact: str = ""
    manifest_sha256: str = ""
    baseline: str = ""
    reasons: tuple[Reason, ...] = ()
    decisions: int = 0
    effective_sample_size: float = 0.0
    max_weight: float = 0.0
    metrics: tuple[MetricEstimate, ...] = ()
    data: tuple[Span, ...] = ()
    widening: float = 1.0
    report: str = ""

    def encode(self) -> bytes:
        """The record. Raises WireError."""
        record = asdict(self) | {"data": [span.record() for span in self.data]}
        return encode(schema("evaluations"), record)


@dataclass(frozen=True)
class Deployed:
    """A policy that decides. The online policy has no artefact."""

    policy: str
    algorithm: str = ""
    artefact: str = ""
    manifest_sha256: str = ""


@dataclass(frozen=True)
class Deployment:
    """Which policies decide from now on; see schemas/deployments.avsc. Times in ms since 1970."""

    application: str
    sequence: int
    at: int
    stable: Deployed
    canary: Deployed | None = None
    share: float = 0.0
    stage: str = ""
    salt: str = ""
    blocked: tuple[str, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The record. Raises WireError."""
        arms = [("stable", self.stable)] + ([("canary", self.canary)] if self.canary else [])
        record = {
            "application": self.application,
            "sequence": self.sequence,
            "at": self.at,
            "policies": [{"arm": arm, **asdict(each)} for arm, each in arms],
            "share": self.share,
            "stage": self.stage,
            "salt": self.salt,
            "blocked": list(self.blocked),
            "state": orjson.dumps(self.state).decode(),
        }
        return encode(schema("deployments"), record)


@dataclass(frozen=True)
class DeploymentEvent:
    """One line of the audit; see schemas/deployment-events.avsc. Times in ms since 1970."""

    event_id: str
    application: str
    sequence: int
    what: str
    policy: str
    stable: str
    share: float
    stage: str
    cause: str
    by: str
    at: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    action: str | None = None

    def encode(self) -> bytes:
        """The record. Raises WireError."""
        numbers = [{"name": name, "value": value} for name, value in self.numbers.items()]
        return encode(schema("deployment-events"), asdict(self) | {"numbers": numbers})


def read_evaluation(raw: bytes | None) -> Evaluation:
    """The evaluation in a record's value. Raises WireError, `malformed` for values that make none."""
    record = decode(schema("evaluations"), raw)
    _named(record, "evaluation_id", "application", "candidate_id")
    _known("kind", record["kind"], KINDS)
    for each in (record, *record["metrics"]):
        _known("verdict", each["verdict"], VERDICTS)
    spans = tuple(
        Span(each["partition"], each["first_offset"], each["next_offset"]) for each in record["data"]
    )
    changed = {
        "reasons": tuple(Reason(**each) for each in record["reasons"]),
        "metrics": tuple(MetricEstimate(**each) for each in record["metrics"]),
        "data": spans,
    }
    return Evaluation(**record | changed)


def read_deployment(raw: bytes | None) -> Deployment:
    """The deployment in a record's value. Raises WireError, `malformed` for values that make none."""
    record = decode(schema("deployments"), raw)
    _named(record, "application")
    if not 0 <= record["share"] <= 1:
        raise WireError("malformed", f"share is {record['share']!r}; it must be in [0, 1]")
    arms = {each.pop("arm"): Deployed(**each) for each in record.pop("policies")}
    if "stable" not in arms or len(arms) > 2 or (len(arms) == 2 and "canary" not in arms):
        raise WireError("malformed", f"policies have the arms {', '.join(arms) or 'none'}")
    try:
        state = orjson.loads(record["state"] or "{}")
    except orjson.JSONDecodeError as error:
        raise WireError("malformed", f"state: no JSON: {error}") from error
    if not isinstance(state, dict):
        raise WireError("malformed", "state: not a JSON object")
    changed = {"blocked": tuple(record["blocked"]), "state": state}
    return Deployment(stable=arms["stable"], canary=arms.get("canary"), **record | changed)


def read_event(raw: bytes | None) -> DeploymentEvent:
    """The event in a record's value. Raises WireError, `malformed` for values that make none."""
    record = decode(schema("deployment-events"), raw)
    _named(record, "event_id", "application", "what")
    numbers = {each["name"]: each["value"] for each in record["numbers"]}
    return DeploymentEvent(**record | {"numbers": numbers})


def _named(record: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not record[name]:
            raise WireError("malformed", f"{name} is empty")


def _known(name: str, value: str, values: tuple[str, ...]) -> None:
    if value not in values:
        raise WireError("malformed", f"{name}: {value!r:.100} is not one of {', '.join(values)}")
