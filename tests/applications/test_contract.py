"""What every application keeps, built in today or added tomorrow: found by walking the folders."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import shared.applications
from shared.applications.contract import INTERACTION_COLUMNS, Application, FieldError
from shared.applications.lines import reward_lines
from shared.applications.outcomes import metrics_of
from shared.applications.registry import load

APPLICATIONS = load()
FOLDERS = Path(shared.applications.__file__).parent
SCHEMA = pl.Schema(INTERACTION_COLUMNS)
FLAGS = {"resolution", "handover", "escalation"}
"""Attributes that are true or false in JSON and 1 or 0 in the stream."""


def cases(name: str) -> Mapping[str, Any]:
    [file] = FOLDERS.glob(f"*/cases/{name}.yaml")
    return yaml.safe_load(file.read_text())


def golden(kind: str) -> list[Any]:
    return list(_golden(kind))


def _golden(kind: str) -> Iterator[Any]:
    for name, application in APPLICATIONS.items():
        for i, case in enumerate(cases(name).get(kind, [])):
            yield pytest.param(application, case, id=f"{name}-{kind}-{i}")


every_application = pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS.keys())


@pytest.mark.parametrize(("application", "case"), golden("rewards"))
def test_golden_reward(application: Application, case: dict[str, Any]) -> None:
    rows = application.read_line(case["line"])
    found = application.reward(pl.DataFrame(rows, schema=SCHEMA), np.zeros(len(rows), np.int64), 1)
    assert found.reward == pytest.approx([case["reward"]], abs=1e-9)
    assert {name: values[0] for name, values in found.components.items()} == pytest.approx(
        case["components"], abs=1e-9
    )
    metrics = {each.name: float(each.of(found.components)[0]) for each in metrics_of(application.name)}
    assert {name: metrics[name] for name in case.get("metrics", {})} == pytest.approx(
        case.get("metrics", {}), abs=1e-9
    )


@pytest.mark.parametrize(("application", "case"), golden("refused_lines"))
def test_refused_line_names_the_field(application: Application, case: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as refused:
        application.read_line(case["line"])
    assert refused.value.field == case["field"]


@pytest.mark.parametrize(("application", "case"), golden("refused_contexts"))
def test_refused_context_names_the_field(application: Application, case: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as refused:
        application.featurise(case["context"])
    assert refused.value.field == case["field"]


@pytest.mark.parametrize(("application", "case"), golden("refused_interactions"))
def test_refused_interaction_names_the_field(application: Application, case: dict[str, Any]) -> None:
    told = case["interaction"]
    with pytest.raises(FieldError) as refused:
        application.check_interaction(told["type"], told.get("value"), told.get("attributes", {}))
    assert refused.value.field == case["field"]


@every_application
def test_what_a_line_says_can_be_said_over_http(application: Application) -> None:
    for case in cases(application.name)["rewards"]:
        for read in application.read_line(case["line"]):
            named = {each["name"]: each["text"] or each["number"] for each in read["attributes"]}
            flags = {name: bool(named[name]) for name in FLAGS & named.keys()}
            application.check_interaction(read["type"], read["value"], named | flags)


@every_application
def test_actions_are_distinct_and_features_have_their_width(application: Application) -> None:
    assert len(set(application.actions)) == len(application.actions)
    if application.actions:
        names, features = application.action_features(None)
        assert names == application.actions
        assert features.shape == (len(names), application.action_width)
        assert features.dtype == np.float32


@every_application
def test_decisions_without_interactions_get_the_default(application: Application) -> None:
    found = application.reward(pl.DataFrame(schema=SCHEMA), np.zeros(0, np.int64), 3)
    assert found.reward.tolist() == [application.settings.reward.default] * 3
    assert {name: len(values) for name, values in found.components.items()} == dict.fromkeys(
        found.components, 3
    )


@every_application
@given(data=st.data())
@settings(max_examples=50)
def test_a_reward_depends_on_its_own_rows_only(application: Application, data: st.DataObject) -> None:
    lines = [case["line"] for case in cases(application.name)["rewards"]]
    chosen = data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=8))
    read = [application.read_line(line) for line in chosen]
    rows = pl.DataFrame([row for group in read for row in group], schema=SCHEMA)
    owner = np.repeat(np.arange(len(read)), [len(group) for group in read])
    together = application.reward(rows, owner, len(read))
    alone = [
        application.reward(pl.DataFrame(group, schema=SCHEMA), np.zeros(len(group), np.int64), 1)
        for group in read
    ]
    assert together.reward.tolist() == [found.reward[0] for found in alone]
    for name, values in together.components.items():
        assert values.tolist() == [found.components[name][0] for found in alone]


@every_application
def test_reward_version_is_the_same_in_every_process(application: Application) -> None:
    assert application.reward_version == load()[application.name].reward_version
    assert 1 <= len(application.reward_version) <= 100


@every_application
def test_broken_lines_are_errors_and_do_not_stop_the_others(application: Application) -> None:
    good = cases(application.name)["rewards"][1]["line"]
    found = list(reward_lines(application, [b"{", orjson.dumps(good), b"\n", b"[]", b"\xff"]))
    assert ["error" in result for result in found] == [True, False, True, True]


@every_application
def test_actions_stand_for_parameters_that_are_json_or_for_nothing_but_their_name(
    application: Application,
) -> None:
    for action in application.actions:
        parameters = application.parameters(action)
        assert parameters is None or orjson.loads(orjson.dumps(parameters)) == parameters != {}
    if application.actions and application.parameters(application.actions[0]) is not None:
        with pytest.raises(FieldError):
            application.parameters("no such action")


@every_application
def test_a_vector_action_is_none_of_the_list_and_has_the_numbers_that_the_list_stands_for(
    application: Application,
) -> None:
    vector = application.vector_action
    if vector is None:
        return
    assert vector.name not in application.actions
    assert len(set(vector.numbers)) == len(vector.numbers)
    for action in application.actions:
        assert list(application.parameters(action) or ()) == list(vector.numbers)
