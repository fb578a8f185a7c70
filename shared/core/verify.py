"""Check decisions from outside: probabilities, propensity and the draw that belongs to the id."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.core.draw import draw, uniform
from shared.core.experiments.assignment import owner_of_draw

TOLERANCE = 1e-9
"""How far a distribution's sum may be from one: the rounding of ten thousand additions."""


def problems(decision: Mapping[str, Any]) -> list[str]:
    """What is wrong with one decision; empty means that anybody would have drawn the same action.

    It has the reply's fields: decision_id, policy {name, version}, action, propensity, and probabilities, as
    an object by action in the order of the draw, or as a list beside the list `actions`. That of an
    experiment has subject_id as well, which its draw belongs to.
    """
    try:
        names, probabilities = _distribution(decision)
        policy, action = decision["policy"], decision["action"]
        if not isinstance(policy, Mapping):
            raise ValueError("policy must be an object with name and version")
        name, version = policy["name"], policy["version"]
        identifier, propensity = decision[owner_of_draw(str(name))], decision["propensity"]
    except KeyError as error:
        return [f"{error.args[0]} is missing"]
    except (TypeError, ValueError) as error:
        return [str(error)]
    found = _wrong_distribution(probabilities)
    if action not in names:
        return [*found, f"action {action!r} is not among the actions"]
    if propensity != probabilities[names.index(action)]:
        stated = probabilities[names.index(action)]
        found.append(f"propensity is {propensity!r}; the action's probability is {stated!r}")
    if not found:
        drawn = names[draw(probabilities, uniform(identifier, name, version))]
        if drawn != action:
            found.append(f"action is {action!r}; the draw for this id, policy and version gives {drawn!r}")
    return found


def verify(lines: Iterable[str | bytes]) -> Iterator[tuple[int, list[str]]]:
    """(number of the line from 1, its problems) for each line of JSON; empty lines are passed over."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            decision = json.loads(line)
        except ValueError as error:
            yield number, [f"no JSON: {error}"]
            continue
        yield number, problems(decision) if isinstance(decision, dict) else ["must be an object"]


def _distribution(decision: Mapping[str, Any]) -> tuple[list[str], list[float]]:
    given, names = decision["probabilities"], decision.get("actions")
    if isinstance(given, Mapping):
        names = list(given) if not names else [_name(each) for each in names]
        if given.keys() != set(names):
            raise ValueError("actions and probabilities name different actions")
        given = [given[name] for name in names]
    elif not isinstance(given, list):
        raise ValueError("probabilities must be an object by action, or a list")
    elif not names:
        raise ValueError("actions is missing: a list of probabilities does not name them")
    names = [_name(each) for each in names]
    if len(names) != len(given) or len(set(names)) != len(names):
        raise ValueError(f"{len(set(names))} different actions and {len(given)} probabilities")
    if not all(type(each) in (int, float) for each in given):
        raise ValueError("probabilities must be numbers")
    return names, [float(each) for each in given]


def _name(action: Any) -> str:
    """Of an action, or of a request's action with features."""
    name = action["action"] if isinstance(action, Mapping) else action
    if not isinstance(name, str):
        raise ValueError(f"{action!r} is no action")
    return name


def _wrong_distribution(probabilities: list[float]) -> list[str]:
    if not all(0 < each <= 1 for each in probabilities):
        return ["every probability must be above 0 and at most 1"]
    if abs(sum(probabilities) - 1) > TOLERANCE:
        return [f"probabilities sum to {sum(probabilities)!r}"]
    return []
