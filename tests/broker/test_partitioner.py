"""Keys go where Kafka's Java client sends them."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.broker.partitioner import murmur2, partition_for, partitions_for

# Kafka 4.1, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2 (signed there).
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items())
def test_hash_is_java_s(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


def test_batches_of_mixed_lengths_agree_with_java() -> None:
    expected = [(signed % 2**32 & 0x7FFFFFFF) % 7 for signed in JAVA.values()]
    assert partitions_for(list(JAVA), 7).tolist() == expected


@given(st.lists(st.binary(max_size=40)), st.integers(1, 50))
def test_a_batch_gives_what_each_key_gives(keys: list[bytes], partitions: int) -> None:
    assert partitions_for(keys, partitions).tolist() == [partition_for(key, partitions) for key in keys]


def test_ids_spread_over_all_partitions() -> None:
    keys = [uuid.UUID(int=number).hex.encode() for number in range(4000)]
    counts = np.bincount(partitions_for(keys, 4), minlength=4)
    assert counts.min() > 900
