"""The schema files: what they may hold, how they are named and found, and their fingerprints."""

from typing import Any

import pytest

from shared.wire.schemas import DIRECTORY, fingerprint, history, load, read, schema, without
from tests.wire.samples import TOPICS


def test_every_schema_file_is_tested_with_a_sample() -> None:
    assert sorted(path.stem for path in DIRECTORY.glob("*.avsc")) == TOPICS


@pytest.mark.parametrize("topic", TOPICS)
def test_the_current_version_is_kept_as_the_newest_of_the_history(topic: str) -> None:
    versions = history(DIRECTORY, topic)
    assert list(versions) == list(range(1, len(versions) + 1))
    newest = read(versions[len(versions)])
    assert without(newest, {"doc"}) == without(schema(topic).definition, {"doc"})


def test_a_reward_begins_with_the_decision_spelled_as_in_its_own_schema() -> None:
    first = schema("rewards").definition["fields"][0]
    assert first["name"] == "decision"
    assert first["type"] == schema("decisions").definition


def test_an_attribute_is_the_same_record_in_decisions_and_interactions() -> None:
    def attribute(topic: str) -> Any:
        fields = {field["name"]: field["type"] for field in schema(topic).definition["fields"]}
        return fields["attributes"]

    assert attribute("decisions") == attribute("interactions")


@pytest.mark.parametrize("topic", TOPICS)
def test_schemas_can_be_read_into_columns(topic: str) -> None:
    assert unfit(schema(topic).definition) == []


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "map", "values": "long"},
        {"type": "enum", "name": "E", "symbols": ["A"]},
        ["string", "null"],
        ["null", "string", "long"],
        {"type": "array", "items": "null"},
        {"type": "array", "items": ["null", "double"]},
        {"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}},
    ],
)
def test_what_columns_cannot_hold_is_recognised(definition: Any) -> None:
    record = {"type": "record", "name": "R", "fields": [{"name": "f", "type": definition}]}
    assert unfit(record) != []


def test_every_field_says_what_it_is() -> None:
    for topic in TOPICS:
        assert all(field["doc"].endswith(".") for field in schema(topic).definition["fields"]), topic


def test_the_fingerprint_is_the_one_avro_publishes_little_endian() -> None:
    # Avro's own test vectors: share/test/data/schema-tests.txt, "int" and "string".
    assert fingerprint("int") == (0x7275D51A3F395C8F).to_bytes(8, "little")  # type: ignore[arg-type]
    assert fingerprint("string") == (0x8F014872634503C7).to_bytes(8, "little")  # type: ignore[arg-type]


def test_fingerprints_tell_the_topics_apart() -> None:
    assert len({schema(topic).fingerprint for topic in TOPICS}) == len(TOPICS)


def test_a_topic_without_schema_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'nothing'.*evaluations, interactions"):
        load(DIRECTORY, "nothing")


def unfit(definition: Any, item: bool = False) -> list[str]:
    """Parts of `definition` that a batch cannot be decoded into columns with."""
    match definition:
        case "null":
            return ["null outside of a union"]
        case str():
            return []
        case ["null", inner] if not item:
            return unfit(inner)
        case {"type": "array", "items": items}:
            return unfit(items, item=True)
        case {"type": "record", "fields": [_, *_] as fields}:
            return [problem for field in fields for problem in unfit(field["type"])]
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return []
    return [str(definition)]
