"""Input to records and to columns: messages by field, numbers that are none, names given twice."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.columns import AttributeColumns, latest, totals
from shared.applications.contract import FieldError
from shared.applications.hashing import hashed, words
from shared.applications.lines import reward_lines
from shared.applications.reading import Count, Number, Rating, Record, Text, one_of, validated
from shared.applications.registry import load
from tests.applications.rewards import SCHEMA, row


class Inner(Record):
    stars: Rating


class Outer(Record):
    name: Text
    many: list[Inner] | None = None
    count: Count | None = None
    share: Number | None = None


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({}, "name: missing"),
        ({"name": ""}, "name: must have at least 1 characters"),
        ({"name": 3}, "name: must be text"),
        ({"name": "n", "size": 3}, "size: unknown field, known are name, many, count, share"),
        ({"name": "n", "many": [{"stars": 3}, {"stars": 6}]}, "many[1].stars: must be at most 5"),
        ({"name": "n", "many": [{"stars": 3, "x": 1}]}, "many[0].x: unknown field"),
        ({"name": "n", "many": {}}, "many: must be a list"),
        ({"name": "n", "count": -1}, "count: must be at least 0"),
        ({"name": "n", "count": True}, "count: must be a whole number"),
        ({"name": "n", "count": 1.5}, "count: must be a whole number"),
        ({"name": "n", "count": 2**53 + 1}, f"count: must be at most {2**53}"),
        ({"name": "n", "share": float("nan")}, "share: must be a finite number"),
        ({"name": "n", "share": "1"}, "share: must be a number"),
        ({"name": "n", "share": 10**400}, "share: must be at most 2**53 as a whole number"),
    ],
)
def test_errors_say_where_and_what(document: dict[str, Any], error: str) -> None:
    with pytest.raises(FieldError) as refused:
        validated(Outer, document)
    assert str(refused.value) == error
    with pytest.raises(FieldError) as refused:
        validated(Outer, document, "context")
    assert str(refused.value) == f"context.{error}"


def test_whole_floats_are_counts() -> None:
    assert validated(Outer, {"name": "n", "count": 3.0}).count == 3


def test_types_are_one_of_those_known() -> None:
    one_of("a", ["a", "b"])
    with pytest.raises(FieldError, match="type: must be one of a, b"):
        one_of("c", ["a", "b"])


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_json_has_not_are_named_by_their_field(number: bytes) -> None:
    line = b'{"resolution": true, "duration_sec": ' + number + b"}"
    assert list(reward_lines(load()["voice_assistant"], [line])) == [
        {"error": "duration_sec: must be a finite number"}
    ]


groups = st.lists(st.lists(st.one_of(st.none(), st.floats(-9, 9)), max_size=5), max_size=6)


@given(groups)
def test_columns_and_their_latest_equal_loops(told: list[list[float | None]]) -> None:
    rows = [row("x", a=value, b="text") for group in told for value in group]
    owner = np.repeat(np.arange(len(told)), [len(group) for group in told])
    columns = AttributeColumns(pl.DataFrame(rows, schema=SCHEMA))
    values = columns.numbers("a", -5, 5)
    kept = [[v for v in group if v is not None and -5 <= v <= 5] for group in told]
    assert columns.texts("b") == ["text"] * len(rows)
    assert columns.texts("a") == [None] * len(rows)
    last = latest(values, owner, len(told))
    for found, group in zip(last.tolist(), kept, strict=True):
        assert found == group[-1] if group else np.isnan(found)
    sums = totals(np.nan_to_num(values), owner, len(told))
    assert sums.tolist() == pytest.approx([sum(group) for group in kept])


def test_of_a_name_given_twice_the_last_counts() -> None:
    twice = [{"name": "a", "number": n, "text": None} for n in (1.0, 2.0)]
    frame = pl.DataFrame([{"type": "x", "value": None, "attributes": twice}], schema=SCHEMA)
    assert AttributeColumns(frame).numbers("a").tolist() == [2]


def test_hashes_are_the_same_everywhere_and_of_length_one() -> None:
    vector = hashed(words("The tide, the moon"), 8)
    assert words("The tide, the moon") == ["the", "tide", "the", "moon"]
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert hashed([], 8).tolist() == [0] * 8
    assert np.flatnonzero(hashed(["tide"], 1000)).tolist() == [TIDE % 1000]


#: printf tide | python3 -c 'import sys, zlib; print(zlib.crc32(sys.stdin.buffer.read()))'
TIDE = 3193316108
