"""Bodies in, validated requests out; what is wrong is named by its field."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from shared.applications.contract import Application, Attribute, FieldError, Vector
from shared.http.errors import Problem, path

#: Characters of an identifier.
LONGEST_ID = 100
#: Problems that one reply lists.
MOST_PROBLEMS = 100

_FIELDS = frozenset({"application", "subject_id", "context", "actions", "deferred", "decision_id"})


class Refused(Exception):
    """The request is not accepted: `status` and `problems` of the reply."""

    def __init__(self, problems: list[Problem], status: int = 422) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems, self.status = problems[:MOST_PROBLEMS], status


class Asked(NamedTuple):
    """One valid request for a decision."""

    application: Application
    subject_id: str
    decision_id: str | None
    context: Vector
    names: list[str]
    """The actions to choose from, in the order of the probabilities."""
    every: bool
    """Whether `names` is the application's full list, which records then leave out."""
    action_features: Vector
    """(k, m) of the k actions; m is 0 where they have no features."""
    attributes: list[Attribute]
    deferred: bool

    def positions(self) -> list[int]:
        """Where `names` stand in the application's list."""
        order = {name: position for position, name in enumerate(self.application.actions)}
        return [order[name] for name in self.names]


def parse(raw: bytes) -> Any:
    """The JSON document. Raises `Refused`: 422 for numbers that are not finite, 400 for anything else."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if problems := list(_not_finite(raw)):
            raise Refused(problems) from error
        raise Refused([Problem("", f"no JSON: {error}")], status=400) from error


def read_one(document: Any, applications: Mapping[str, Application]) -> Asked:
    """The request in a body of POST /v1/decisions. Raises `Refused`."""
    try:
        return _read(document, applications)
    except FieldError as error:
        raise Refused([Problem(error.field, error.message)]) from error


def read_many(document: Any, applications: Mapping[str, Application], limit: int) -> list[Asked]:
    """The requests in a body of POST /v1/decisions/batch. Raises `Refused`, naming each by its index."""
    items = _member(document, "decisions", {"decisions"})
    if not isinstance(items, list):
        raise Refused([Problem("decisions", "must be a list")])
    if not 1 <= len(items) <= limit:
        raise Refused([Problem("decisions", f"must have 1 to {limit} decisions, not {len(items)}")])
    asked, problems, seen = [], [], set()
    for index, item in enumerate(items):
        try:
            one = _read(item, applications)
            if one.decision_id is not None and one.decision_id in seen:
                raise FieldError("decision_id", "is given more than once")
        except FieldError as error:
            problems.append(Problem(error.field, error.message, index))
        else:
            seen.add(one.decision_id)
            asked.append(one)
    if problems:
        raise Refused(problems)
    return asked


def read_activation(
    document: Any, decision_id: str, applications: Mapping[str, Application]
) -> tuple[str, str]:
    """(application, decision id) of POST /v1/decisions/{id}/activation. Raises `Refused`."""
    name = _member(document, "application", {"application"})
    try:
        return _application(name, applications).name, _identifier(decision_id, "decision_id")
    except FieldError as error:
        raise Refused([Problem(error.field, error.message)]) from error


def _member(document: Any, name: str, allowed: set[str]) -> Any:
    if not isinstance(document, dict):
        raise Refused([Problem("", "the body must be an object")])
    if unknown := sorted(document.keys() - allowed):
        raise Refused([Problem(unknown[0], f"unknown field, allowed is {', '.join(sorted(allowed))}")])
    if name not in document:
        raise Refused([Problem(name, "missing")])
    return document[name]


def _read(document: Any, applications: Mapping[str, Application]) -> Asked:
    if not isinstance(document, dict):
        raise FieldError("", "must be an object")
    if not document.keys() <= _FIELDS:
        unknown = sorted(document.keys() - _FIELDS)
        raise FieldError(unknown[0], f"unknown field, allowed are {', '.join(sorted(_FIELDS))}")
    get: Callable[..., Any] = document.get
    application = _application(get("application"), applications)
    subject_id = _identifier(get("subject_id"), "subject_id")
    decision_id = get("decision_id")
    if decision_id is not None:
        _identifier(decision_id, "decision_id")
    context = get("context", {})
    if not isinstance(context, dict):
        raise FieldError("context", "must be an object")
    deferred = get("deferred", False)
    if not isinstance(deferred, bool):
        raise FieldError("deferred", "must be true or false")
    actions = get("actions")
    if actions is not None and not isinstance(actions, list):
        raise FieldError("actions", "must be a list")
    names, features = application.action_features(actions)
    return Asked(
        application,
        subject_id,
        decision_id,
        application.featurise(context),
        names,
        actions is None or names == application.actions,
        features,
        application.attributes(context),
        deferred,
    )


def _application(name: Any, applications: Mapping[str, Application]) -> Application:
    if name is None:
        raise FieldError("application", "missing")
    found = applications.get(name) if isinstance(name, str) else None
    if found is None:
        raise FieldError("application", f"unknown, known are {', '.join(sorted(applications))}")
    return found


def _identifier(value: Any, field: str) -> str:
    if value is None:
        raise FieldError(field, "missing")
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_ID:
        raise FieldError(field, f"must be text of 1 to {LONGEST_ID} characters")
    if not value.isprintable() and any(character < " " or character == "\x7f" for character in value):
        raise FieldError(field, "must have no control characters")
    return value


def _not_finite(raw: bytes) -> Iterator[Problem]:
    """The fields that hold NaN, an infinity or a larger number, which Python's own parser lets through."""
    try:
        stack: list[tuple[tuple[str | int, ...], Any]] = [((), json.loads(raw))]
    except (ValueError, RecursionError):
        return
    while stack:
        place, value = stack.pop()
        if isinstance(value, int | float) and not _fits(value):
            index = place[1] if len(place) > 2 and place[0] == "decisions" else None
            inner = place if index is None else place[2:]
            yield Problem(path(inner), "must be a finite number", index if isinstance(index, int) else None)
        elif isinstance(value, dict):
            stack += [((*place, key), item) for key, item in reversed(value.items())]
        elif isinstance(value, list):
            stack += [((*place, i), item) for i, item in reversed(list(enumerate(value)))]


def _fits(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
