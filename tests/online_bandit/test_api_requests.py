"""Whatever is sent is either a request or refused with its field; nothing else can happen."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.online_bandit.api.requests import Asked, Refused, parse, read_activation, read_many, read_one
from shared.applications.generic.application import GenericApplication
from shared.applications.registry import load
from shared.http.errors import Problem
from tests.online_bandit.shop import ACTIONS, ranked, request, write_applications


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return load([write_applications(tmp_path_factory.mktemp("apps") / "apps")])


def problems(document: Any, applications: dict[str, Any]) -> list[Problem]:
    with pytest.raises(Refused) as refused:
        read_one(parse(json.dumps(document).encode()), applications)
    assert refused.value.status == 422
    return refused.value.problems


def test_a_valid_request_is_read_in_full(applications: dict[str, Any]) -> None:
    asked = read_one(request(decision_id="d-1", deferred=True), applications)
    assert (asked.subject_id, asked.decision_id, asked.deferred) == ("s-1", "d-1", True)
    assert asked.context.tolist() == [-1.0, 1.0, 0.0]
    assert (asked.names, asked.every) == (ACTIONS, True)
    assert asked.attributes == [{"name": "title", "number": None, "text": "Grüße"}]


def test_some_actions_keep_the_order_of_the_request(applications: dict[str, Any]) -> None:
    asked = read_one(request(actions=["mail", "banner"]), applications)
    assert (asked.names, asked.every) == (["mail", "banner"], False)
    assert read_one(request(actions=ACTIONS), applications).every


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"application": ...}, "application"),
        ({"application": "shoe"}, "application"),
        ({"application": 7}, "application"),
        ({"subject_id": ...}, "subject_id"),
        ({"subject_id": ""}, "subject_id"),
        ({"subject_id": "x" * 101}, "subject_id"),
        ({"subject_id": "a\0b"}, "subject_id"),
        ({"subject_id": 5}, "subject_id"),
        ({"decision_id": ""}, "decision_id"),
        ({"decision_id": 5}, "decision_id"),
        ({"decision_id": "a\nb"}, "decision_id"),
        ({"context": ...}, "context.age"),
        ({"context": None}, "context"),
        ({"context": [1]}, "context"),
        ({"context": {"device": "phone"}}, "context.age"),
        ({"context": {"age": "old", "device": "phone"}}, "context.age"),
        ({"context": {"age": float("nan"), "device": "phone"}}, "context.age"),
        ({"context": {"age": float("inf"), "device": "phone"}}, "context.age"),
        ({"context": {"age": 1e300, "device": "phone"}}, "context.age"),
        ({"context": {"age": 10**400, "device": "phone"}}, "context.age"),
        ({"context": {"age": True, "device": "phone"}}, "context.age"),
        ({"context": {"age": 1, "device": "fax"}}, "context.device"),
        ({"context": {"age": 1, "device": "desk", "size": 1}}, "context.size"),
        ({"actions": []}, "actions"),
        ({"actions": "mail"}, "actions"),
        ({"actions": ["mail", "letter"]}, "actions[1]"),
        ({"actions": ["mail", "mail"]}, "actions"),
        ({"actions": [["mail"]]}, "actions[0]"),
        ({"deferred": "yes"}, "deferred"),
        ({"deferred": None}, "deferred"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(
    changes: dict[str, Any], field: str, applications: dict[str, Any]
) -> None:
    assert [problem.field for problem in problems(request(**changes), applications)] == [field]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"actions": None}, "actions"),
        ({"actions": []}, "actions"),
        ({"actions": ["item-1"]}, "actions[0]"),
        ({"actions": [{"action": "a", "features": {"price": 1}}]}, "actions[0].features.rank"),
        ({"actions": [{"action": "", "features": {"price": 1, "rank": 1}}]}, "actions[0].action"),
        ({"actions": [{"action": "a", "features": {"price": 1, "rank": "x"}}]}, "actions[0].features.rank"),
    ],
)
def test_actions_with_features_are_checked_too(
    changes: dict[str, Any], field: str, applications: dict[str, Any]
) -> None:
    assert [each.field for each in problems(ranked(1.0, 2.0, **changes), applications)] == [field]


def test_a_batch_names_every_wrong_request_by_its_index(applications: dict[str, Any]) -> None:
    items = [request(), request(subject_id=""), 7, request(decision_id="d"), request(decision_id="d")]
    with pytest.raises(Refused) as refused:
        read_many({"decisions": items}, applications, 10)
    assert [(each.index, each.field) for each in refused.value.problems] == [
        (1, "subject_id"),
        (2, ""),
        (4, "decision_id"),
    ]


def test_numbers_that_are_not_finite_are_named_within_a_batch(applications: dict[str, Any]) -> None:
    body = json.dumps({"decisions": [request(), request(context={"age": float("nan")})]}).encode()
    with pytest.raises(Refused) as refused:
        read_many(parse(body), applications, 10)
    assert [(each.index, each.field) for each in refused.value.problems] == [(1, "context.age")]


@pytest.mark.parametrize("document", [{"decisions": []}, {"decisions": [{}] * 11}, {"decisions": 7}, [], 7])
def test_a_batch_has_one_to_as_many_as_the_limit(document: Any, applications: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        read_many(document, applications, 10)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b'{"a": 1} x', b"\0" * 50]
)
def test_what_is_no_json_is_400(raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse(raw)
    assert refused.value.status == 400


def test_an_activation_names_its_application(applications: dict[str, Any]) -> None:
    assert read_activation({"application": "shop"}, "d-1", applications) == ("shop", "d-1")
    wrong: list[Any] = [{}, [], {"application": "shoe"}, {"application": "shop", "x": 1}]
    for document in wrong:
        with pytest.raises(Refused):
            read_activation(document, "d-1", applications)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("shop"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["action", "features", "age", "price", "decisions", ""]), inner)
    ),
    max_leaves=12,
)
FIELDS = ["application", "subject_id", "context", "actions", "deferred", "decision_id", "other"]


@given(
    base=st.sampled_from([request(), ranked(1.0, 2.0)]),
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)
def test_any_json_is_a_request_or_refused(
    base: dict[str, Any], changes: dict[str, Any], applications: dict[str, GenericApplication]
) -> None:
    outcome: Asked | Refused
    try:
        outcome = read_one(parse(json.dumps({**base, **changes}).encode()), applications)
    except Refused as refused:
        outcome = refused
    assert outcome.problems if isinstance(outcome, Refused) else outcome.names


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(raw: bytes) -> None:
    status = 200
    try:
        parse(raw)
    except Refused as refused:
        status = refused.status
    assert status in (200, 400, 422)
