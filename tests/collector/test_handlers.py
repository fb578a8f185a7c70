"""What is accepted, what is refused, and which bytes are written: no Kafka, no HTTP."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest

from services.collector.handlers import Event, Refused, decisions, interactions
from services.collector.reading import parse
from shared.applications.search_ranking.weights import NAMES
from shared.wire.codec import decode
from shared.wire.schemas import schema
from tests.collector.events import NOW, PIXELS, SEARCH, UNIFORM, WEIGHTS, decision, interaction, rules, vector

RULES = rules()
DAY = 86_400_000


def read_interactions(*items: Any) -> list[Event]:
    return interactions({"interactions": list(items)}, RULES, NOW, lambda: "generated")


def read_decisions(*items: Any) -> list[Event]:
    return decisions({"decisions": list(items)}, RULES, NOW)


def refusals(read: Callable[..., object], *given: Any) -> list[tuple[int | None, str]]:
    with pytest.raises(Refused) as refused:
        read(*given)
    return [(problem.index, problem.field) for problem in refused.value.problems]


def test_an_interaction_becomes_a_record_under_its_decisions_key() -> None:
    given = interaction(attributes={"seen": True, "query": "shoes", "rank": 3, "none": None}, occurred_at=NOW)
    [event] = read_interactions(given)
    assert (event.key, event.id) == (b"d-1", "i-1")
    assert decode(schema("interactions"), event.value) == {
        "interaction_id": "i-1",
        "decision_id": "d-1",
        "application": "optdigits",
        "type": "right",
        "value": 1.0,
        "attributes": [
            {"name": "query", "number": None, "text": "shoes"},
            {"name": "rank", "number": 3.0, "text": None},
            {"name": "seen", "number": 1.0, "text": None},
        ],
        "occurred_at": NOW,
    }


def test_the_same_body_is_the_same_bytes_whatever_the_time_and_the_order_of_members() -> None:
    first = {"interactions": [interaction(attributes={"a": 1, "b": "x"})]}
    second = {"interactions": [interaction(attributes={"b": "x", "a": 1})]}
    assert interactions(first, RULES, NOW, str) == interactions(second, RULES, NOW + DAY, str)
    assert read_decisions(decision()) == decisions(decision(), RULES, NOW + DAY)


def test_an_id_is_generated_only_where_none_is_given() -> None:
    given = interaction()
    del given["interaction_id"]
    assert [event.id for event in read_interactions(interaction(), given)] == ["i-1", "generated"]


@pytest.mark.parametrize(
    "given", [NOW, "2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00", "2027-01-15T08:00:00.000999Z"]
)
def test_times_are_milliseconds_or_iso_8601(given: Any) -> None:
    [event] = read_interactions(interaction(occurred_at=given))
    assert decode(schema("interactions"), event.value)["occurred_at"] == NOW


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"decision_id": ""}, "decision_id"),
        ({"decision_id": "x" * 101}, "decision_id"),
        ({"decision_id": "a\x00b"}, "decision_id"),
        ({"decision_id": 7}, "decision_id"),
        ({"interaction_id": ""}, "interaction_id"),
        ({"application": "nowhere"}, "application"),
        ({"type": ""}, "type"),
        ({"type": "$activation"}, "type"),
        ({"value": "1"}, "value"),
        ({"value": True}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": 1e300}, "value"),
        ({"attributes": {"a": [1]}}, "attributes.a"),
        ({"attributes": {"a": 2**60}}, "attributes.a"),
        ({"attributes": {"a": "x" * 70_000}}, "attributes.a"),
        ({"attributes": {str(i): i for i in range(201)}}, "attributes"),
        ({"attributes": [1]}, "attributes"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2027-01-15T08:00:00"}, "occurred_at"),
        ({"occurred_at": True}, "occurred_at"),
        ({"occurred_at": NOW - 91 * DAY}, "occurred_at"),
        ({"occurred_at": NOW + 600_000}, "occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59Z"}, "occurred_at"),
        ({"valeu": 1}, "valeu"),
    ],
)
def test_an_invalid_interaction_is_named_by_index_and_field(change: dict[str, Any], field: str) -> None:
    assert refusals(read_interactions, interaction(), interaction(**change)) == [(1, field)]


def test_every_invalid_event_is_named() -> None:
    wrong = [interaction(type="$x"), interaction(), interaction(application="x")]
    assert refusals(read_interactions, *wrong) == [(0, "type"), (2, "application")]
    shapeless = [7, interaction(), {}]
    assert {index for index, _ in refusals(read_interactions, *shapeless)} == {0, 2}


def test_an_event_that_is_too_large_for_a_record_is_refused() -> None:
    large = interaction(attributes={str(i): "x" * 60_000 for i in range(10)})
    assert refusals(read_interactions, interaction(), large) == [(1, "")]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], ""),
        ({}, "interactions"),
        ({"interactions": {}}, "interactions"),
        ({"interactions": []}, "interactions"),
        ({"interactions": [interaction()] * 1001}, "interactions"),
        ({"interactions": [interaction()], "more": 1}, "more"),
    ],
)
def test_a_body_of_another_shape_is_refused(document: Any, field: str) -> None:
    assert refusals(interactions, document, RULES, NOW, str) == [(None, field)]


def test_a_decision_becomes_a_record() -> None:
    given = decision(
        probabilities=UNIFORM,
        policy={"name": "legacy", "version": 3},
        rollout={"arm": "canary", "share": 0.1, "mixture_propensity": 0.3},
        deferred=True,
        decided_at=NOW,
    )
    [event] = read_decisions(given)
    assert (event.key, event.id) == (b"d-1", "d-1")
    assert decode(schema("decisions"), event.value) == {
        "decision_id": "d-1",
        "application": "optdigits",
        "subject_id": "s-1",
        "policy": "legacy",
        "policy_version": 3,
        "policy_offsets": [],
        "action": "7",
        "propensity": 0.1,
        "actions": [],
        "probabilities": UNIFORM,
        "context": list(PIXELS.values()),
        "action_features": [],
        "attributes": [],
        "deferred": True,
        "arm": "canary",
        "share": 0.1,
        "mixture_propensity": 0.3,
        "decided_at": NOW,
    }


def test_one_decision_needs_no_list_and_probabilities_may_be_left_out() -> None:
    [event] = decisions(decision(), RULES, NOW)
    found = decode(schema("decisions"), event.value)
    assert (found["probabilities"], found["decided_at"], found["policy"]) == ([], 0, "external")


def test_probabilities_by_action_are_put_in_order() -> None:
    given = decision(actions=["9", "7"], probabilities={"7": 0.25, "9": 0.75}, propensity=0.25)
    found = decode(schema("decisions"), read_decisions(given)[0].value)
    assert (found["actions"], found["probabilities"]) == (["9", "7"], [0.75, 0.25])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "ten"}, "action"),
        ({"action": "7", "actions": ["1", "2"]}, "action"),
        ({"actions": ["7", "ten"]}, "actions[1]"),
        ({"actions": ["7", "7"]}, "actions"),
        ({"propensity": 0}, "propensity"),
        ({"propensity": 1.01}, "propensity"),
        ({"propensity": None}, "propensity"),
        ({"propensity": 0.2, "probabilities": UNIFORM}, "propensity"),
        ({"probabilities": [0.1] * 9}, "probabilities"),
        ({"probabilities": [*[0.1] * 9, 0.10001]}, "probabilities"),
        ({"probabilities": [*[0.1] * 8, 1.2, -1]}, "probabilities[8]"),
        ({"probabilities": ["0.1"] * 10}, "probabilities[0]"),
        ({"probabilities": {"7": 1}}, "probabilities"),
        ({"probabilities": 1}, "probabilities"),
        ({"context": {}}, "context.pixel_00"),
        ({"context": {**PIXELS, "pixel_64": 0}}, "context.pixel_64"),
        ({"context": {**PIXELS, "pixel_03": None}}, "context.pixel_03"),
        ({"subject_id": ""}, "subject_id"),
        ({"policy": {"name": "a", "version": -1}}, "policy.version"),
        ({"rollout": {"arm": "canary", "share": 2}}, "rollout.share"),
        ({"rollout": {"arm": "canary", "share": 0.5, "mixture_propensity": 0}}, "rollout.mixture_propensity"),
        ({"decided_at": NOW + 600_000}, "decided_at"),
        ({"application": "nowhere"}, "application"),
    ],
)
def test_an_invalid_decision_is_named_by_index_and_field(change: dict[str, Any], field: str) -> None:
    assert refusals(read_decisions, decision(), decision(**change)) == [(1, field)]


@pytest.mark.parametrize("missing", ["decision_id", "application", "subject_id", "action", "propensity"])
def test_what_a_decision_needs(missing: str) -> None:
    given = decision()
    del given[missing]
    assert refusals(read_decisions, given) == [(0, missing)]


def test_a_vector_is_logged_with_its_density_as_attributes() -> None:
    by_name = dict(zip(reversed(NAMES), reversed(WEIGHTS), strict=True))
    first, second, third = read_decisions(
        vector(), vector(decision_id="d-2", parameters=by_name), vector(decision_id="d-3", density=None)
    )
    found = decode(schema("decisions"), first.value)
    told = {each["name"]: each["number"] for each in found["attributes"]}
    assert told == {**dict(zip(NAMES, WEIGHTS, strict=True)), "density": 40.5}
    assert (found["action"], found["actions"]) == ("weights", ["weights"])
    assert (found["propensity"], found["probabilities"], found["action_features"]) == (1.0, [], [])
    assert len(found["context"]) == 23
    other = decode(schema("decisions"), second.value)
    assert other["attributes"] == found["attributes"]
    unknown = decode(schema("decisions"), third.value)
    assert unknown["attributes"] == found["attributes"][:-1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parameters": None}, "parameters"),
        ({"parameters": "1234567"}, "parameters"),
        ({"parameters": WEIGHTS[:-1]}, "parameters"),
        ({"parameters": [*WEIGHTS, 0.0]}, "parameters"),
        ({"parameters": [0.3, *WEIGHTS[1:]]}, "parameters"),
        ({"parameters": [1.5, -0.5, 0, 0, 0, 0, 0]}, "parameters[0]"),
        ({"parameters": [1, -0.5, 0.5, 0, 0, 0, 0]}, "parameters[1]"),
        ({"parameters": [*WEIGHTS[:-1], True]}, "parameters[6]"),
        ({"parameters": [*WEIGHTS[:-1], 10**400]}, "parameters[6]"),
        ({"parameters": [*WEIGHTS[:-1], float("nan")]}, "parameters[6]"),
        ({"parameters": {"W_TRAIT": 1}}, "parameters.W_COLLAB_POS"),
        ({"parameters": {**dict.fromkeys(NAMES, 1 / 7), "W_OTHER": 0}}, "parameters.W_OTHER"),
        ({"density": 0}, "density"),
        ({"density": -1.0}, "density"),
        ({"density": float("inf")}, "density"),
        ({"density": "1"}, "density"),
        ({"propensity": 1.0}, "propensity"),
        ({"probabilities": [1.0]}, "probabilities"),
        ({"actions": ["weights"]}, "actions"),
        (
            {"rollout": {"arm": "canary", "share": 0.5, "mixture_propensity": 0.5}},
            "rollout.mixture_propensity",
        ),
        ({"action": "even", "propensity": 0.5, "density": None}, "parameters"),
        ({"action": "even", "propensity": 0.5, "parameters": None}, "density"),
        ({"action": "even", "parameters": None, "density": None}, "propensity"),
        ({"context": {**SEARCH, "x": 1}}, "context.x"),
    ],
)
def test_an_invalid_vector_is_named_by_index_and_field(change: dict[str, Any], field: str) -> None:
    assert refusals(read_decisions, vector(), vector(**change)) == [(1, field)]


def test_weights_computed_in_float32_still_sum_to_one() -> None:
    weights = (np.full(7, 1, np.float32) / np.float32(7)).astype(float).tolist()
    assert sum(weights) != 1
    assert len(read_decisions(vector(parameters=weights))) == 1


def test_probabilities_may_miss_one_by_a_millionth() -> None:
    assert len(read_decisions(decision(probabilities=[*[0.1] * 9, 0.1000009]))) == 1


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_not_finite_are_named_by_index_and_field(number: bytes) -> None:
    body = orjson.dumps({"interactions": [interaction(), interaction(value=12345)]}).replace(b"12345", number)
    with pytest.raises(Refused) as refused:
        parse(body)
    [problem] = refused.value.problems
    assert (refused.value.status, problem.index, problem.field) == (422, 1, "value")


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 100_000, b"NaN and more"]
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse(body)
    assert refused.value.status == 400


def test_what_an_application_could_not_count_is_refused_by_its_attribute() -> None:
    told = interaction(application="voice_assistant", type="feedback", value=None)
    good, bad = ({**told, "attributes": {"user_rating": stars}} for stars in (5, 9))
    assert len(read_interactions(good)) == 1
    assert refusals(read_interactions, good, bad) == [(1, "attributes.user_rating")]
