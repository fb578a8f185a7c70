"""Avro integers, by the column and one by one, against fastavro."""

from io import BytesIO

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.varints import varint, varints

LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200)
EDGES = [0, -1, 1, 63, -64, 64, -65, 8191, 8192, 2**31, 2**62, -(2**62), 2**63 - 1, -(2**63)]


def expected(value: int) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, "long", value)
    return stream.getvalue()


@given(st.lists(LONGS, max_size=20))
def test_a_column_of_integers_equals_fastavro(values: list[int]) -> None:
    matrix, lengths = varints(np.array(values, dtype=np.int64))
    rows = [row[:length].tobytes() for row, length in zip(matrix, lengths, strict=True)]
    assert rows == [expected(value) for value in values]


@pytest.mark.parametrize("value", EDGES)
def test_edges_equal_fastavro(value: int) -> None:
    matrix, lengths = varints(np.array([value, 0], dtype=np.int64))
    assert matrix[0, : lengths[0]].tobytes() == varint(value) == expected(value)
    assert lengths[1] == 1
