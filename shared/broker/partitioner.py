"""Which partition a key belongs to: murmur2 over the key, as in Kafka's Java client.

`partition_for` is the scalar form; `partitions_for` hashes a whole batch with one numpy operation per word.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def partition_for(key: bytes, partitions: int) -> int:
    """The partition, in [0, partitions), that Kafka's default partitioner gives `key`."""
    return (murmur2(key) & _POSITIVE) % partitions


def murmur2(key: bytes) -> int:
    """The unsigned 32-bit murmur2 of `key`, seeded as in Kafka's `Utils.murmur2`."""
    length = len(key)
    full = length & ~3
    mixed = (_SEED ^ length) & _MASK
    for word in _words(full).unpack_from(key):
        scrambled = word * _MULTIPLIER & _MASK
        mixed = (mixed * _MULTIPLIER ^ (scrambled ^ scrambled >> 24) * _MULTIPLIER) & _MASK
    if full != length:
        mixed = (mixed ^ int.from_bytes(key[full:], "little")) * _MULTIPLIER & _MASK
    mixed = (mixed ^ mixed >> 13) * _MULTIPLIER & _MASK
    return mixed ^ mixed >> 15


@lru_cache(maxsize=64)
def _words(size: int) -> struct.Struct:
    return struct.Struct(f"<{size // 4}I")


def partitions_for(keys: Sequence[bytes], partitions: int) -> NDArray[np.int64]:
    """`partition_for` of every key: shape (len(keys),). Fastest when the keys have one length, as ids do."""
    result = np.empty(len(keys), dtype=np.int64)
    lengths = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        chosen = keys if len(rows) == len(keys) else [keys[row] for row in rows.tolist()]
        result[rows] = (_murmur2s(chosen, int(length)) & np.uint32(_POSITIVE)) % partitions
    return result


def _murmur2s(keys: Sequence[bytes], length: int) -> NDArray[np.uint32]:
    """murmur2 of keys of one length: shape (n,)."""
    words, rest = divmod(length, 4)
    data = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), length)
    hashes = np.full(len(keys), (_SEED ^ length) & _MASK, dtype=np.uint32)
    blocks = np.ascontiguousarray(data[:, : words * 4]).view("<u4")
    for word in range(words):
        mixed = blocks[:, word] * np.uint32(_MULTIPLIER)
        mixed ^= mixed >> np.uint32(24)
        hashes = hashes * np.uint32(_MULTIPLIER) ^ mixed * np.uint32(_MULTIPLIER)
    for byte in reversed(range(rest)):
        hashes ^= data[:, words * 4 + byte].astype(np.uint32) << np.uint32(8 * byte)
    if rest:
        hashes *= np.uint32(_MULTIPLIER)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(_MULTIPLIER)
    hashes ^= hashes >> np.uint32(15)
    return hashes
