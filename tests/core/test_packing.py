"""Arrays travel as bytes unchanged, and other bytes are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from shared.core.packing import pack, unpack

PACKED = pack({"a": 1}, {"x": np.arange(6.0).reshape(2, 3), "y": np.zeros(0, np.int64)})


@given(
    arrays(st.sampled_from(["f4", "f8", "i4", "i8", "u1"]), array_shapes(min_dims=1, max_dims=3, min_side=0)),
    st.dictionaries(st.text(max_size=5).filter(lambda key: key != "arrays"), st.integers()),
)
def test_arrays_and_header_come_back_to_the_bit(array, header):
    restored_header, restored = unpack(pack(header, {"x": array, "again": array}))
    assert restored_header == header
    for name in ("x", "again"):
        assert restored[name].dtype == array.dtype
        assert restored[name].shape == array.shape
        assert restored[name].tobytes() == array.tobytes()


def test_big_endian_and_strided_arrays_are_written_in_order():
    _, restored = unpack(pack({}, {"x": np.arange(10.0)[::2].astype(">f8")}))
    assert restored["x"].tolist() == [0, 2, 4, 6, 8]
    assert restored["x"].dtype.str == "<f8"


@pytest.mark.parametrize(
    "raw", [b"", b"SWA1", b"XXXX" + PACKED[4:], PACKED[:-1], PACKED + b"\0", PACKED[:20]]
)
def test_other_bytes_are_refused(raw):
    with pytest.raises(ValueError, match="packed arrays"):
        unpack(raw)
