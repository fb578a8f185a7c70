"""Bytes of every version of every schema, as released: they are written and read like that for ever."""

from pathlib import Path

import pytest

from shared.wire.codec import decode, encode
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
        raw = golden(topic, version)
        assert decode(schema(topic), raw) == SAMPLES[topic]
        assert decode_columns(schema(topic), [raw]).frame.to_dicts() == [SAMPLES[topic]]


def test_a_reward_holds_the_golden_bytes_of_its_decision() -> None:
    assert golden("rewards", 1)[10:].startswith(golden("decisions", 1)[10:])
