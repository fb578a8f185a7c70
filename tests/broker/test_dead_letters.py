"""A dead letter says where it came from and why, and says it in a form that can be read back."""

from __future__ import annotations

import pytest

from shared.broker.dead_letters import Origin, headers, origin


def test_headers_are_read_back() -> None:
    where = Origin(
        "decisions", 3, 12_345, "trailing-bytes", "2 bytes after the record – “é”", "reward-calculator"
    )
    assert origin(headers(**where.__dict__)) == where


def test_names_are_those_of_kafka_connect() -> None:
    names = [
        name
        for name, _ in headers(topic="t", partition=0, offset=0, reason="malformed", message="", stage="s")
    ]
    assert names == [
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
        "__connect.errors.exception.class.name",
        "__connect.errors.exception.message",
        "__connect.errors.stage",
    ]


@pytest.mark.parametrize("missing", ["topic", "offset", "stage"])
def test_a_missing_header_is_named(missing: str) -> None:
    found = headers(topic="t", partition=0, offset=0, reason="malformed", message="", stage="s")
    with pytest.raises(ValueError, match=f"__connect.errors.{missing}"):
        origin([each for each in found if not each[0].endswith(f".{missing}")])
