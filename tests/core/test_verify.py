"""Anybody can recompute a decision: what does not hold is said."""

import json
from typing import Any

import pytest

from shared.core.draw import draw, uniform
from shared.core.verify import problems, verify

PROBABILITIES = {"a": 0.25, "b": 0.5, "c": 0.25}


def decision(**changes: Any) -> dict[str, Any]:
    chosen = list(PROBABILITIES)[draw(list(PROBABILITIES.values()), uniform("d-1", "main@1", 7))]
    return {
        "decision_id": "d-1",
        "policy": {"name": "main@1", "version": 7},
        "action": chosen,
        "propensity": PROBABILITIES[chosen],
        "probabilities": PROBABILITIES,
        **changes,
    }


def test_a_true_decision_has_no_problems_in_either_form() -> None:
    assert problems(decision()) == []
    listed = decision(actions=list(PROBABILITIES), probabilities=list(PROBABILITIES.values()))
    assert problems(listed) == []
    named = decision(actions=[{"action": name, "features": {}} for name in PROBABILITIES])
    assert problems(named) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"propensity": 0.3}, "propensity is 0.3"),
        ({"action": "z"}, "not among the actions"),
        ({"probabilities": {"a": 0.5, "b": 0.5, "c": 0.25}}, "sum to"),
        ({"probabilities": {"a": 0.0, "b": 0.75, "c": 0.25}}, "above 0"),
        ({"probabilities": [0.25, 0.5, 0.25]}, "actions is missing"),
        ({"probabilities": [0.5, 0.5], "actions": ["a", "b", "c"]}, "3 different actions and 2"),
        ({"probabilities": ["x", 0.5, 0.5], "actions": ["a", "b", "c"]}, "must be numbers"),
        ({"actions": ["a", "b", "d"]}, "name different actions"),
        ({"policy": "main"}, "policy must be"),
        ({"policy": {"name": "main"}}, "version is missing"),
        ({"probabilities": None}, "probabilities must be"),
    ],
)
def test_what_does_not_hold_is_said(changes: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in problems(decision(**changes)))


def test_an_action_that_the_id_does_not_draw_is_found() -> None:
    true = decision()
    other = next(name for name in PROBABILITIES if name != true["action"])
    found = problems(decision(action=other, propensity=PROBABILITIES[other]))
    assert found == [
        f"action is {other!r}; the draw for this id, policy and version gives {true['action']!r}"
    ]


def test_another_version_draws_anew() -> None:
    versions = [decision(policy={"name": "main@1", "version": version}) for version in range(40)]
    assert any(problems(each) for each in versions)
    assert not all(problems(each) for each in versions)


def test_lines_are_numbered_and_empty_ones_are_passed_over() -> None:
    lines = [json.dumps(decision()), "", "{", "7", json.dumps(decision(propensity=0.3))]
    found = dict(verify(lines))
    assert found[1] == []
    assert found.keys() == {1, 3, 4, 5}
    assert found[3][0].startswith("no JSON")
    assert found[4] == ["must be an object"]
    assert found[5]
