"""The shapes of what is sent: strict types, unknown fields refused."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _milliseconds(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            elapsed = moment - _EPOCH
            return elapsed.days * 86_400_000 + elapsed.seconds * 1000 + elapsed.microseconds // 1000
    raise PydanticCustomError(
        "time",
        "must be ISO 8601 with an offset from UTC, as in 2026-01-31T12:00:00Z, or milliseconds since 1970",
    )


Identifier = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Time = Annotated[
    int,
    BeforeValidator(_milliseconds),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]}),
]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class InteractionBody(_Body):
    """Something that a subject did after a decision."""

    interaction_id: Identifier | None = Field(None, description="sent again with the same id, it counts once")
    decision_id: Identifier
    application: Identifier
    type: Identifier
    value: Finite | None = None
    attributes: dict[Identifier, Any] = Field({}, description="numbers, texts, true or false")
    occurred_at: Time | None = None


class PolicyBody(_Body):
    """The policy that decided, outside."""

    name: Identifier = "external"
    version: Annotated[int, Field(ge=0, lt=2**63)] = 0


class RolloutBody(_Body):
    """The arm of a rollout that decided, and its share of traffic."""

    arm: Identifier
    share: Annotated[float, Field(ge=0, le=1)]
    mixture_propensity: Annotated[float, Field(gt=0, le=1)] | None = None


class DecisionBody(_Body):
    """A decision that was made elsewhere."""

    decision_id: Identifier
    application: Identifier
    subject_id: Identifier
    context: dict[str, Any] = {}
    action: Identifier
    propensity: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="required, but for actions that are vectors of numbers"
    )
    parameters: Any = Field(
        None,
        description="of a vector action: its numbers in order, or by name, as decisions reply",
    )
    density: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="with which a vector was drawn, over its numbers (or the first of them where those "
        "determine the others); estimated by who evaluates if it is left out",
    )
    actions: list[Any] | None = Field(None, description="what could be chosen, if not every action")
    probabilities: Any = Field(None, description="numbers in the order of the actions, or by action")
    policy: PolicyBody = PolicyBody()
    rollout: RolloutBody | None = None
    deferred: bool = False
    decided_at: Time | None = None


class InteractionsBody(_Body):
    """The body of POST /v1/interactions."""

    interactions: list[InteractionBody]


class DecisionsBody(_Body):
    """The body of POST /v1/decisions/log."""

    decisions: list[DecisionBody]
