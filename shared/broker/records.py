"""Records of Kafka's message format 2 as columns: all of a fetch walked in step, copied when asked for.

The layout is that of the Kafka protocol guide, Record Batch: a head of 61 bytes, and then records: the
varint of a length, attributes, varints of time and offset beyond the batch's, key, value, headers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from aiokafka import codec
from aiokafka.errors import CorruptRecordException
from numpy.typing import NDArray

from shared.wire.slices import Slices, concat
from shared.wire.varints import read_varints

Ints = NDArray[np.int64]

LOG_OVERHEAD = 12
"""Bytes of a batch before those that its length counts."""
FORMAT = 2
CODECS = {1: codec.gzip_decode, 2: codec.snappy_decode, 3: codec.lz4_decode, 4: codec.zstd_decode}
LONGEST_LENGTH = 5
"""Bytes of the varint of a record's length."""

_HEAD = struct.Struct(">qiibIhiqqqhii")


class Head(NamedTuple):
    """What a batch begins with."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    """The message format."""
    checksum: int
    attributes: int
    last_offset_delta: int
    base_time: int
    largest_time: int
    producer: int
    producer_epoch: int
    base_sequence: int
    records: int

    @classmethod
    def read(cls, raw: bytes, at: int) -> Head:
        """The head at a position. Raises struct.error where the buffer ends before."""
        return cls(*_HEAD.unpack_from(raw, at))

    @property
    def codec(self) -> int:
        """0 where records are not compressed."""
        return self.attributes & 0x07

    @property
    def append_time(self) -> bool:
        """Whether all records have the time at which the batch was appended."""
        return bool(self.attributes & 0x08)


class Record(NamedTuple):
    """One record; `timestamp` in ms."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    offset: int
    timestamp: int


@dataclass(frozen=True, eq=False)
class Records(Sequence[Record]):
    """Consecutive records of one partition, in log order."""

    keys: Slices
    values: Slices
    headers: Slices
    """As they are stored: their number, and names and values."""
    offsets: Ints
    """They grow, not always by one."""
    timestamps: Ints
    """ms: when each was appended, if the topic is set so."""

    @classmethod
    def concat(cls, parts: Sequence[Records]) -> Records:
        """All of them in order."""
        none = np.empty(0, np.int64)
        keys, values, headers = concat(
            [part.keys for part in parts], [part.values for part in parts], [part.headers for part in parts]
        )
        offsets = np.concatenate([none, *(part.offsets for part in parts)])
        return cls(
            keys, values, headers, offsets, np.concatenate([none, *(part.timestamps for part in parts)])
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        if isinstance(index, slice):
            return Records(
                self.keys[index],
                self.values[index],
                self.headers[index],
                self.offsets[index],
                self.timestamps[index],
            )
        return Record(
            self.keys[index],
            self.values[index],
            _headers(self.headers[index] or b"\0"),
            int(self.offsets[index]),
            int(self.timestamps[index]),
        )


def parse(raw: bytes, batches: Sequence[tuple[int, Head]]) -> Records:
    """The records of batches of format 2, given as positions in `raw` and their heads.

    Raises CorruptRecordException.
    """
    if any(head.magic != FORMAT for _, head in batches):
        raise CorruptRecordException(f"records that are not of message format {FORMAT}, Kafka 0.11's")
    if not batches:
        return Records.concat([])
    spans = [(at + _HEAD.size, at + LOG_OVERHEAD + head.length) for at, head in batches]
    heads = [head for _, head in batches]
    if any(head.codec for head in heads):
        bodies = [_opened(raw[begin:end], head) for (begin, end), head in zip(spans, heads, strict=True)]
        ends = np.cumsum([len(body) for body in bodies]).tolist()
        raw, spans = b"".join(bodies), list(zip([0, *ends[:-1]], ends, strict=True))
    try:
        return _walked(raw, spans, heads)
    except (IndexError, ValueError) as error:
        raise CorruptRecordException(f"broken records: {error}") from error


def _opened(body: bytes, head: Head) -> bytes:
    return bytes(CODECS[head.codec](body)) if head.codec else body


def _walked(raw: bytes, spans: Sequence[tuple[int, int]], heads: Sequence[Head]) -> Records:
    begins: list[int] = []
    ends: list[int] = []
    for (begin, end), head in zip(spans, heads, strict=True):
        found = _begins(raw, begin, end)
        if len(found) != head.records:
            raise ValueError(f"{len(found)} records where there should be {head.records}")
        begins += found
        ends += [*found[1:], end] if found else []
    counts = [head.records for head in heads]
    buffer = np.frombuffer(raw, np.uint8)
    _, at = read_varints(buffer, np.array(begins, np.int64))
    later, at = read_varints(buffer, at + 1)
    further, at = read_varints(buffer, at)
    keys, at = _texts(raw, buffer, at)
    values, at = _texts(raw, buffer, at)
    sizes = np.array(ends, np.int64) - at
    if sizes.min(initial=1) < 1:
        raise ValueError("a record that ends before its headers")
    offsets = np.repeat([head.base_offset for head in heads], counts) + further
    if len(offsets) and int(np.diff(offsets, prepend=offsets[0] - 1).min()) < 1:
        raise ValueError("offsets that do not grow")
    times = np.repeat([head.largest_time if head.append_time else head.base_time for head in heads], counts)
    appended = np.repeat([head.append_time for head in heads], counts)
    return Records(keys, values, Slices(raw, at, sizes), offsets, times + np.where(appended, 0, later))


def _begins(raw: bytes, at: int, end: int) -> list[int]:
    """Where the records between two positions begin, each of which tells how far the next one is."""
    found: list[int] = []
    add = found.append
    while at < end:
        add(at)
        length = raw[at]
        if length < 0x80:
            at += 1
        elif (more := raw[at + 1]) < 0x80:
            length, at = length & 0x7F | more << 7, at + 2
        else:
            (longer,), (behind,) = read_varints(
                np.frombuffer(raw, np.uint8, min(LONGEST_LENGTH, end - at), at), np.zeros(1, np.int64)
            )
            length, at = 2 * int(longer), at + int(behind)
        if length & 1:
            raise ValueError("a length below 0")
        at += length >> 1
    if at != end:
        raise ValueError("a record ends behind its batch")
    return found


def _texts(raw: bytes, buffer: NDArray[np.uint8], at: Ints) -> tuple[Slices, Ints]:
    """Bytes, or null, each behind its length; and the positions behind them."""
    lengths, at = read_varints(buffer, at)
    if len(lengths) and (int(lengths.min()) < -1 or int(lengths.max()) > len(raw)):
        raise ValueError("a length that cannot be")
    return Slices(raw, at, lengths), at + np.maximum(lengths, 0)


def _headers(raw: bytes) -> tuple[tuple[str, bytes | None], ...]:
    if raw == b"\0":
        return ()
    buffer, at = np.frombuffer(raw, np.uint8), np.zeros(1, np.int64)
    found = []
    try:
        (count,), at = read_varints(buffer, at)
        for _ in range(int(count)):
            names, at = _texts(raw, buffer, at)
            values, at = _texts(raw, buffer, at)
            found.append(((names[0] or b"").decode(), values[0]))
    except (IndexError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        raise CorruptRecordException(f"broken headers: {error}") from error
    if int(at[0]) != len(raw):
        raise CorruptRecordException("headers that end elsewhere than their record")
    return tuple(found)
