"""Bytes of every version of every schema, as released: they are written and read like that for ever."""

from copy import deepcopy
from pathlib import Path

import pytest

from shared.wire.codec import Record, decode, encode
from shared.wire.columns import decode_columns
from shared.wire.schemas import DIRECTORY, history, schema
from tests.wire.samples import SAMPLES, TOPICS

GOLDEN = Path(__file__).parent / "golden"


def golden(topic: str, version: int) -> bytes:
    return bytes.fromhex((GOLDEN / f"{topic}.v{version}.hex").read_text())


@pytest.mark.parametrize("topic", TOPICS)
def test_the_current_version_writes_its_golden_bytes(topic: str) -> None:
    written = encode(schema(topic), SAMPLES[topic])
    assert written.hex() == golden(topic, len(history(DIRECTORY, topic))).hex()


@pytest.mark.parametrize("topic", TOPICS)
def test_golden_bytes_of_every_version_can_still_be_read(topic: str) -> None:
    for version in history(DIRECTORY, topic):
        raw, expected = golden(topic, version), as_of(topic, version)
        assert decode(schema(topic), raw) == expected
        assert decode_columns(schema(topic), [raw]).frame.to_dicts() == [expected]


def test_a_reward_holds_the_golden_bytes_of_its_decision() -> None:
    for version in history(DIRECTORY, "rewards"):
        assert golden("rewards", version)[10:].startswith(golden("decisions", version)[10:])


def as_of(topic: str, version: int) -> Record:
    """The sample as it is read from bytes of a version that lacks what came later."""
    sample = deepcopy(SAMPLES[topic])
    decision = sample["decision"] if topic == "rewards" else sample
    if topic in ("decisions", "rewards") and version < 2:
        decision["mixture_propensity"] = None
    if topic == "deployment-events" and version < 2:
        sample["action"] = None
    return sample
