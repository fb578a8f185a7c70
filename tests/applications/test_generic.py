"""The generic application against plain loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.contract import INTERACTION_COLUMNS, FieldError
from shared.applications.generic.aggregations import AGGREGATES
from shared.applications.generic.application import GenericApplication
from shared.applications.settings import ApplicationSettings

ORACLE: dict[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
}


def generic(**sections: Any) -> GenericApplication:
    return GenericApplication(
        ApplicationSettings.model_validate({"application": "shop", "actions": ["a", "b"], **sections})
    )


MIXED = [
    {"name": "age", "type": "numeric", "mean": 40, "scale": 20},
    {"name": "device", "type": "categorical", "values": ["phone", "desk"]},
    {"name": "visits", "type": "numeric", "default": 0},
    {"name": "country", "type": "categorical", "values": ["de", "fr"], "default": "de"},
]
DYNAMIC = {"features": [{"name": "price", "type": "numeric"}, {"name": "age", "type": "numeric"}]}

values = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan")))


@pytest.mark.parametrize("name", AGGREGATES)
@given(groups=st.lists(st.lists(values, max_size=6), max_size=8))
def test_aggregations_equal_a_loop(name: str, groups: list[list[float | None]]) -> None:
    rows = [{"type": "x", "value": value} for group in groups for value in group]
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    application = generic(reward={"aggregation": name, "default": -7})
    frame = pl.DataFrame(rows, schema=pl.Schema(INTERACTION_COLUMNS))
    found = application.reward(frame, owner, len(groups)).components[name]
    for group, result in zip(groups, found, strict=True):
        counted = [value for value in group if value is not None and value == value]
        assert result == pytest.approx(ORACLE[name](counted) if counted else -7, abs=1e-9)


def test_first_and_last_follow_the_log() -> None:
    frame = pl.DataFrame({"type": ["x"] * 3, "value": [3.0, 1.0, 2.0]})
    owner = np.zeros(3, np.int64)
    assert generic(reward={"aggregation": "first"}).reward(frame, owner, 1).reward.tolist() == [3]
    assert generic(reward={"aggregation": "last"}).reward(frame, owner, 1).reward.tolist() == [2]


def test_a_sum_beyond_floats_stays_finite() -> None:
    frame = pl.DataFrame({"type": ["x"] * 2, "value": [1.7e308, 1.7e308]})
    assert np.isfinite(generic().reward(frame, np.zeros(2, np.int64), 1).reward).all()


def test_clip_holds_the_reward_and_leaves_the_component() -> None:
    frame = pl.DataFrame({"type": ["x"], "value": [9.0]})
    found = generic(reward={"clip": [0, 1]}).reward(frame, np.zeros(1, np.int64), 1)
    assert found.reward.tolist() == [1]
    assert found.components["sum"].tolist() == [9]


def test_features_are_standardised_and_one_hot_in_order() -> None:
    vector = generic(features=MIXED).featurise({"age": 60, "device": "desk", "visits": 3, "country": "fr"})
    assert vector.tolist() == [1, 0, 1, 3, 0, 1]
    assert vector.dtype == np.float32


def test_defaults_stand_for_absent_features() -> None:
    assert generic(features=MIXED).featurise({"age": 40, "device": "phone"}).tolist() == [0, 1, 0, 0, 1, 0]


@given(
    context=st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.one_of(st.floats(), st.integers(), st.just("1"))
    )
)
def test_the_fast_path_refuses_and_encodes_what_the_slow_one_does(context: dict[str, Any]) -> None:
    names = [{"name": name, "type": "numeric", "mean": 1, "scale": 3} for name in "ab"]
    fast = generic(features=names)._context

    def outcome(encode: Callable[..., Any]) -> Any:
        try:
            return encode(context, "context").tolist()
        except FieldError as error:
            return str(error)

    assert outcome(fast.encode) == outcome(fast._encode_one_by_one)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"age": None}, "context.age"),
        ({"age": float("nan")}, "context.age"),
        ({"age": 10**400}, "context.age"),
        ({"age": True}, "context.age"),
        ({"device": "tv"}, "context.device"),
        ({"device": 1}, "context.device"),
        ({"colour": "red"}, "context.colour"),
    ],
)
def test_contexts_are_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as refused:
        generic(features=MIXED).featurise({"age": 40, "device": "phone", **change})
    assert refused.value.field == field


def test_attributes_are_logged_and_not_features() -> None:
    application = generic(features=MIXED, attributes=["query", "price", "seen"])
    context = {"age": 40, "device": "phone", "query": "shoes", "price": 3}
    assert application.featurise(context).shape == (application.context_width,)
    assert application.attributes(context) == [
        {"name": "query", "number": None, "text": "shoes"},
        {"name": "price", "number": 3.0, "text": None},
    ]
    with pytest.raises(FieldError, match=r"context\.query"):
        application.attributes({"query": ["no"]})


def test_a_subset_of_actions_keeps_its_order() -> None:
    names, features = generic(actions=["a", "b", "c"]).action_features(["c", "a"])
    assert names == ["c", "a"]
    assert features.shape == (2, 0)


@pytest.mark.parametrize(
    ("actions", "field"),
    [(["a", "z"], "actions[1]"), ([], "actions"), (["a", "a"], "actions"), ([["a"]], "actions[0]")],
)
def test_wrong_actions_are_refused(actions: list[Any], field: str) -> None:
    with pytest.raises(FieldError) as refused:
        generic().action_features(actions)
    assert refused.value.field == field


def test_dynamic_actions_bring_their_features() -> None:
    application = generic(actions=DYNAMIC)
    given_actions = [{"action": name, "features": {"price": i, "age": 1}} for i, name in enumerate("xyz")]
    names, features = application.action_features(given_actions)
    assert names == ["x", "y", "z"]
    assert features.tolist() == [[0, 1], [1, 1], [2, 1]]
    assert (application.actions, application.action_width) == ([], 2)


@pytest.mark.parametrize(
    ("actions", "field"),
    [
        (None, "actions"),
        ([], "actions"),
        (["x"], "actions[0]"),
        ([{"action": "x", "features": {"price": 1}}], "actions[0].features.age"),
        ([{"action": "", "features": {}}], "actions[0].action"),
        ([{"action": "x", "features": 3}], "actions[0].features"),
        ([{"action": "x", "features": {"price": 1, "age": float("inf")}}], "actions[0].features.age"),
    ],
)
def test_wrong_dynamic_actions_are_refused(actions: Any, field: str) -> None:
    with pytest.raises(FieldError) as refused:
        generic(actions=DYNAMIC).action_features(actions)
    assert refused.value.field == field


def test_the_reward_version_follows_what_changes_the_reward() -> None:
    version = generic().reward_version
    assert generic(reward={"wait": "1h"}).reward_version == version
    assert generic(reward={"aggregation": "max"}).reward_version != version
    assert generic(reward={"clip": [0, 1]}).reward_version != version
