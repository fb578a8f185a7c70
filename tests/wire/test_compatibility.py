"""Every version of every schema reads every other, and the check of that notices what breaks it."""

import copy
import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from shared.wire.schemas import DIRECTORY, Definition, history, read
from tests.wire.resolution import incompatible, unreadable
from tests.wire.samples import SAMPLES, TOPICS

Change = Callable[[Definition], None]


def test_all_versions_are_fully_and_transitively_compatible() -> None:
    assert incompatible(DIRECTORY) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_fastavro_agrees_over_all_pairs_of_versions(topic: str) -> None:
    versions = [read(path) for path in history(DIRECTORY, topic).values()]
    for writer in versions:
        for reader in versions:
            assert resolves(topic, writer, reader)


def add(**field: Any) -> Change:
    return lambda definition: definition["fields"].append({"name": "added", **field})


def drop(*names: str) -> Change:
    def change(definition: Definition) -> None:
        definition["fields"] = [field for field in definition["fields"] if field["name"] not in names]

    return change


def retype(name: str, kind: Any) -> Change:
    def change(definition: Definition) -> None:
        next(field for field in definition["fields"] if field["name"] == name)["type"] = kind

    return change


def rename(definition: Definition) -> None:
    definition["name"] = "Verdict"


def within_attributes(change: Change) -> Change:
    def outer(definition: Definition) -> None:
        attributes = next(field for field in definition["fields"] if field["name"] == "attributes")
        change(attributes["type"]["items"])

    return outer


BREAKING: dict[str, Change] = {
    "field added without default": add(type="string"),
    "field removed that has no default": drop("propensity"),
    "nested field added without default": within_attributes(add(type="long")),
    "nested field removed that has no default": within_attributes(drop("name")),
    "type narrowed": retype("policy_version", "int"),
    "type widened": retype("context", {"type": "array", "items": "double"}),
    "field made nullable": retype("action", ["null", "string"]),
    "null taken away": retype("arm", "string"),
    "record renamed": rename,
    "logical type dropped": retype("decided_at", "long"),
}

HARMLESS: dict[str, Change] = {
    "field added with default": add(type=["null", "string"], default=None),
    "fields removed that have defaults": drop("arm", "share"),
    "nested field added with default": within_attributes(add(type="long", default=0)),
    "nothing": lambda definition: None,
}


@pytest.mark.parametrize("name", BREAKING)
@pytest.mark.parametrize("topic", ["decisions", "rewards"])
def test_a_breaking_change_of_a_decision_is_found_on_its_own_and_nested(
    tmp_path: Path, topic: str, name: str
) -> None:
    release(tmp_path, topic, BREAKING[name])
    assert incompatible(tmp_path) != []


@pytest.mark.parametrize("name", HARMLESS)
@pytest.mark.parametrize("topic", ["decisions", "rewards"])
def test_a_harmless_change_passes(tmp_path: Path, topic: str, name: str) -> None:
    release(tmp_path, topic, HARMLESS[name])
    assert incompatible(tmp_path) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_every_field_without_default_is_protected(tmp_path: Path, topic: str) -> None:
    definition = read(DIRECTORY / f"{topic}.avsc")
    required = [field["name"] for field in definition["fields"] if "default" not in field]
    assert required
    for name in required:
        shortened = copy.deepcopy(definition)
        drop(name)(shortened)
        assert unreadable(shortened, definition) == []
        assert unreadable(definition, shortened) == [f".{name}: not written, and without a default"]


def test_compatibility_is_transitive_not_only_with_the_version_before(tmp_path: Path) -> None:
    release(tmp_path, "decisions", drop("arm"))
    third = read(tmp_path / "decisions.avsc")
    write(tmp_path / "history" / "decisions.v3.avsc", third)
    add(type="string", default="")(third)
    third["fields"][-1]["name"] = "arm"
    write(tmp_path / "decisions.avsc", third)
    found = incompatible(tmp_path)
    assert any("current cannot read decisions v1" in problem for problem in found)
    assert not any("v3" in problem for problem in found)


@pytest.mark.parametrize("name", ["field added without default", "record renamed", "nothing"])
def test_the_checker_and_fastavro_agree_on_changed_schemas(name: str) -> None:
    old = read(DIRECTORY / "decisions.avsc")
    new = copy.deepcopy(old)
    {**BREAKING, **HARMLESS}[name](new)
    assert resolves("decisions", old, new) == (unreadable(new, old) == [])


def release(directory: Path, topic: str, change: Change) -> None:
    """Write the schemas below `directory`, with the decision in the current version of `topic` changed."""
    shutil.copytree(DIRECTORY, directory, dirs_exist_ok=True)
    definition = read(directory / f"{topic}.avsc")
    change(definition if topic == "decisions" else definition["fields"][0]["type"])
    write(directory / f"{topic}.avsc", definition)


def write(path: Path, definition: Definition) -> None:
    path.write_text(json.dumps(definition), encoding="utf-8")


def resolves(topic: str, writer: Definition, reader: Definition) -> bool:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(writer), SAMPLES[topic])
    stream.seek(0)
    try:
        fastavro.schemaless_reader(stream, fastavro.parse_schema(writer), fastavro.parse_schema(reader))
    except fastavro.read.SchemaResolutionError:
        return False
    return True
