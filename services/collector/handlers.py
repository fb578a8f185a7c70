"""Bodies in, records out: what is wrong is named by index and field, and then nothing is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.collector.bodies import DecisionBody, InteractionBody
from services.collector.settings import CollectorSettings
from services.collector.vectors import read_vector
from shared.applications.attributes import attribute
from shared.applications.contract import DENSITY, Application, Attribute, FieldError, VectorAction
from shared.applications.durations import milliseconds
from shared.http.errors import Problem, path
from shared.wire.codec import WireError, encode
from shared.wire.schemas import schema

#: How far probabilities may be from a sum of one, and the propensity from the action's probability.
TOLERANCE = 1e-6
#: Types that begin so are the platform's own (`$activation`).
RESERVED = "$"
#: Problems that one reply lists.
MOST_PROBLEMS = 100

_INTERACTIONS = TypeAdapter(list[InteractionBody])
_DECISIONS = TypeAdapter(list[DecisionBody])
Body = TypeVar("Body", InteractionBody, DecisionBody)


@dataclass(frozen=True)
class Event:
    """A record to write: its key, its bytes, and the id by which the sender may send it again."""

    key: bytes
    value: bytes
    id: str


@dataclass(frozen=True)
class Rules:
    """What events are checked against."""

    applications: Mapping[str, Application]
    settings: CollectorSettings


class Refused(Exception):
    """The body is not accepted: `status` and `problems` of the reply."""

    def __init__(self, problems: list[Problem], status: int = 422) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems, self.status = problems[:MOST_PROBLEMS], status


def interactions(document: Any, rules: Rules, now: int, new_id: Callable[[], str]) -> list[Event]:
    """Records of the body of POST /v1/interactions; `now` in milliseconds. Raises `Refused`."""
    bodies = _bodies(_INTERACTIONS, _items(document, "interactions", rules), "interactions")
    wire = schema("interactions")

    def event(body: InteractionBody) -> Event:
        found = body.interaction_id or new_id()
        record = _interaction(body, rules, now) | {"interaction_id": found}
        return Event(body.decision_id.encode(), encode(wire, record), found)

    return _each(event, bodies)


def decisions(document: Any, rules: Rules, now: int) -> list[Event]:
    """Records of the body of POST /v1/decisions/log: {"decisions": […]} or one decision. Raises `Refused`."""
    if isinstance(document, dict) and "decisions" not in document:
        document = {"decisions": [document]}
    bodies = _bodies(_DECISIONS, _items(document, "decisions", rules), "decisions")
    wire = schema("decisions")

    def event(body: DecisionBody) -> Event:
        return Event(body.decision_id.encode(), encode(wire, _decision(body, rules, now)), body.decision_id)

    return _each(event, bodies)


def _items(document: Any, name: str, rules: Rules) -> list[Any]:
    if not isinstance(document, dict):
        raise Refused([Problem("", f'the body must be an object: {{"{name}": […]}}')])
    if unknown := sorted(document.keys() - {name}):
        raise Refused([Problem(unknown[0], f"unknown field, allowed is {name}")])
    items = document.get(name)
    if not isinstance(items, list):
        raise Refused([Problem(name, "must be a list" if name in document else "missing")])
    if not 1 <= len(items) <= rules.settings.batch_limit:
        raise Refused(
            [Problem(name, f"must have 1 to {rules.settings.batch_limit} events, not {len(items)}")]
        )
    return items


def _bodies(adapter: TypeAdapter[list[Body]], items: list[Any], name: str) -> list[Body]:
    try:
        return adapter.validate_python(items)
    except ValidationError as error:
        problems = []
        for found in error.errors(include_url=False, include_input=False):
            index, *inner = found["loc"]
            assert isinstance(index, int), name
            problems.append(Problem(path(inner), found["msg"], index))
        raise Refused(problems) from error


def _each(event: Callable[[Body], Event], bodies: list[Body]) -> list[Event]:
    events, problems = [], []
    for index, body in enumerate(bodies):
        try:
            events.append(event(body))
        except FieldError as error:
            problems.append(Problem(error.field, error.message, index))
        except WireError as error:
            problems.append(Problem("", str(error), index))
    if problems:
        raise Refused(problems)
    return events


def _interaction(body: InteractionBody, rules: Rules, now: int) -> dict[str, Any]:
    settings = rules.settings
    application = _application(body.application, rules)
    if body.type.startswith(RESERVED):
        raise FieldError("type", f"types that begin with {RESERVED} are reserved")
    if body.value is not None and abs(body.value) > settings.value_limit:
        raise FieldError("value", f"must be within ±{settings.value_limit:g}")
    application.check_interaction(body.type, body.value, body.attributes)
    return {
        "decision_id": body.decision_id,
        "application": body.application,
        "type": body.type,
        "value": body.value,
        "attributes": _attributes(body.attributes, settings),
        "occurred_at": _time("occurred_at", body.occurred_at, settings, now),
    }


def _decision(body: DecisionBody, rules: Rules, now: int) -> dict[str, Any]:
    application = _application(body.application, rules)
    vector = application.vector_action
    if vector is not None and body.action == vector.name:
        chosen = _vector(body, vector)
    else:
        chosen = _of_the_list(body, application)
    rollout = body.rollout
    return {
        "decision_id": body.decision_id,
        "application": body.application,
        "subject_id": body.subject_id,
        "policy": body.policy.name,
        "policy_version": body.policy.version,
        "policy_offsets": [],
        "action": body.action,
        **chosen,
        "context": application.featurise(body.context).tolist(),
        "attributes": application.attributes(body.context) + chosen["attributes"],
        "deferred": body.deferred,
        "arm": rollout.arm if rollout else None,
        "share": rollout.share if rollout else None,
        "mixture_propensity": rollout.mixture_propensity if rollout else None,
        # Not the time of receipt: a decision that is sent again has to be the same bytes.
        "decided_at": _time("decided_at", body.decided_at, rules.settings, now) or 0,
    }


def _of_the_list(body: DecisionBody, application: Application) -> dict[str, Any]:
    """What a record says of an action that was chosen among others."""
    names, features = application.action_features(body.actions)
    if body.action not in names:
        raise FieldError("action", f"{body.action!r} is not among the actions")
    if body.propensity is None:
        raise FieldError("propensity", "Field required")
    for field in ("parameters", "density"):
        if getattr(body, field) is not None:
            raise FieldError(field, f"{body.action!r} is no vector of numbers")
    return {
        "propensity": body.propensity,
        "actions": [] if names == application.actions else names,
        "probabilities": _probabilities(body, body.propensity, names),
        "action_features": features.ravel().tolist(),
        "attributes": [],
    }


def _vector(body: DecisionBody, action: VectorAction) -> dict[str, Any]:
    """What a record says of a vector: who reads it weighs by the density, and propensities say nothing."""
    for field in ("propensity", "probabilities", "actions"):
        if getattr(body, field) is not None:
            raise FieldError(field, "a vector has none: it has a density")
    if body.rollout is not None and body.rollout.mixture_propensity is not None:
        raise FieldError("rollout.mixture_propensity", "a vector has none: it has a density")
    numbers = dict(zip(action.numbers, read_vector(body.parameters, action), strict=True))
    if body.density is not None:
        numbers[DENSITY] = body.density
    return {
        "propensity": 1.0,
        "actions": [action.name],
        "probabilities": [],  # one of 1 would say that the vector was given for certain
        "action_features": [],
        "attributes": [attribute(name, number, name) for name, number in numbers.items()],
    }


def _application(name: str, rules: Rules) -> Application:
    found = rules.applications.get(name)
    if found is None:
        raise FieldError("application", f"unknown, known are {', '.join(sorted(rules.applications))}")
    return found


def _attributes(given: Mapping[str, Any], settings: CollectorSettings) -> list[Attribute]:
    """Sorted by name, so that the order of a JSON object's members does not make another record."""
    if len(given) > settings.attribute_limit:
        raise FieldError("attributes", f"must be at most {settings.attribute_limit}, not {len(given)}")
    for name, value in given.items():
        if isinstance(value, str) and len(value) > settings.text_limit:
            raise FieldError(f"attributes.{name}", f"must have at most {settings.text_limit} characters")
    return [
        attribute(name, value, f"attributes.{name}")
        for name, value in sorted(given.items())
        if value is not None
    ]


def _time(field: str, given: int | None, settings: CollectorSettings, now: int) -> int | None:
    if given is None:
        return None
    if given < now - milliseconds(settings.oldest):
        raise FieldError(field, f"lies more than {settings.oldest} in the past")
    if given > now + milliseconds(settings.newest):
        raise FieldError(field, f"lies more than {settings.newest} in the future")
    return given


def _probabilities(body: DecisionBody, propensity: float, names: list[str]) -> list[float]:
    """In the order of `names`; empty if the sender did not tell."""
    given = body.probabilities
    if given is None:
        return []
    if isinstance(given, dict):
        if given.keys() != set(names):
            raise FieldError("probabilities", "must have exactly the actions as names")
        given = [given[name] for name in names]
    if not isinstance(given, list):
        raise FieldError("probabilities", "must be a list, or an object by action")
    if len(given) != len(names):
        raise FieldError("probabilities", f"must have one for each of {len(names)} actions, not {len(given)}")
    for i, probability in enumerate(given):
        if type(probability) not in (int, float) or not 0 <= probability <= 1:
            raise FieldError(f"probabilities[{i}]", "must be a number within 0 and 1")
    if abs(sum(given) - 1) > TOLERANCE:
        raise FieldError("probabilities", f"must sum to 1, not {sum(given):.9g}")
    of_action = given[names.index(body.action)]
    if abs(of_action - propensity) > TOLERANCE:
        raise FieldError(
            "propensity", f"is {propensity:.9g}, but the action's probability is {of_action:.9g}"
        )
    return [float(probability) for probability in given]
