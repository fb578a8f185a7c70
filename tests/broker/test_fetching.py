"""What was fetched, taken by whole record batches: nothing lost, nothing twice, nothing that is not sound."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import crc32c
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from shared.broker.fetching import PartitionRecords, Reader, Stored
from shared.broker.records import Records

TP = TopicPartition("rewards", 0)


def batch(first: int, count: int, producer: int = -1) -> bytes:
    """A stored record batch with offsets from `first` on."""
    builder = DefaultRecordBatchBuilder(2, 0, producer >= 0, producer, 0, 0, 1 << 20)
    for number in range(count):
        builder.append(number, 1_700_000_000_000, b"k", b"v%d" % (first + number), [])
    raw = bytearray(builder.build())
    raw[:8] = first.to_bytes(8, "big")
    return bytes(raw)


def parts(raw: bytes, start: int = 0, aborted: Any = None, level: int = READ_COMMITTED) -> PartitionRecords:
    return PartitionRecords(TP, Stored(raw), aborted, start, None, None, True, level)


def all_of(found: PartitionRecords, most: int) -> list[list[int]]:
    """The offsets taken with each call, until it is over."""
    taken = []
    while not found.over:
        taken.append([record.offset for record in found.take(most)])
    return taken


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), most=st.integers(1, 20), skip=st.integers(0, 8)
)
@pytest.mark.parametrize("made", [parts, lambda raw, start: columns(raw, start)], ids=["objects", "columns"])
def test_every_record_is_taken_once_and_positions_follow(
    made: Callable[..., PartitionRecords], sizes: Sequence[int], most: int, skip: int
) -> None:
    total = sum(sizes)
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    raw = b"".join(batch(first, count) for first, count in zip(starts, sizes, strict=True))
    start = min(skip, sizes[0] - 1)
    found = made(raw, start)
    taken: list[int] = []
    while not found.over:
        records = found.take(most)
        assert len(records) <= most
        taken += [record.offset for record in records]
        assert [record.value for record in records] == [b"v%d" % record.offset for record in records]
        assert found.next_fetch_offset == taken[-1] + 1
    assert taken == list(range(start, total))


def columns(raw: bytes, start: int = 0, **rest: Any) -> PartitionRecords:
    found = parts(raw, start, **rest)
    found.columns = True
    return found


texts = st.none() | st.binary(max_size=300)
stored = st.tuples(
    texts, texts, st.lists(st.tuples(st.text(max_size=9), texts), max_size=3), st.integers(0, 2**43)
)


@given(
    logs=st.lists(
        st.tuples(
            st.lists(stored, min_size=1, max_size=5), st.sampled_from([0, 0, 0, 1, 2, 3, 4]), st.booleans()
        ),
        min_size=1,
        max_size=5,
    ),
    most=st.integers(1, 20),
    skip=st.integers(0, 4),
)
def test_columns_say_what_aiokafka_says(logs: list[Any], most: int, skip: int) -> None:
    raw, first = b"", 0
    for records, codec, append_time in logs:
        builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
        for number, (key, value, headers, time) in enumerate(records):
            builder.append(number, time, key, value, headers)
        made = bytearray(builder.build())
        made[:8] = first.to_bytes(8, "big")
        if append_time:
            made[22] |= 0x08
            made[17:21] = crc32c.crc32c(bytes(made[21:])).to_bytes(4, "big")
        raw += made
        first += len(records)
    start = min(skip, len(logs[0][0]) - 1)
    found, expected = columns(raw, start), parts(raw, start)
    while not expected.over:
        taken, wanted = found.take(most), expected.take(most)
        assert [tuple(record) for record in taken] == [
            (each.key, each.value, each.headers, each.offset, each.timestamp) for each in wanted
        ]
        assert found.next_fetch_offset == expected.next_fetch_offset
    assert found.over


@given(st.integers(61, 400), st.integers(0, 255))
def test_what_is_no_record_is_never_taken_for_one(at: int, byte: int) -> None:
    raw = bytearray(batch(0, 40))
    at = min(at, len(raw) - 1)
    raw[at] = byte
    unchecked = columns(bytes(raw))
    unchecked._checked = True
    try:
        found = list(unchecked.take(40))
    except CorruptRecordException:
        return
    assert len(found) == 40


def test_records_are_aiokafkas_unless_columns_are_asked_for() -> None:
    (record,) = parts(batch(5, 1)).take(1)
    assert (record.topic, record.partition, record.offset, record.value) == ("rewards", 0, 5, b"v5")
    found = columns(batch(5, 2)).take(2)
    assert isinstance(found, Records)
    assert found.offsets.tolist() == [5, 6]
    assert list(found.values) == [b"v5", b"v6"]


def test_a_wrong_checksum_gives_no_record_of_the_response() -> None:
    raw = bytearray(batch(0, 3) + batch(3, 3))
    raw[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        parts(bytes(raw)).take(10)


def test_a_batch_that_kafka_cut_off_is_left_for_the_next_fetch() -> None:
    found = parts(batch(0, 3) + batch(3, 3)[:-5])
    assert all_of(found, 10) == [[0, 1, 2]]
    assert found.next_fetch_offset == 3


def test_aborted_batches_are_passed_over_where_only_committed_ones_are_read() -> None:
    raw = batch(0, 2, producer=7) + batch(2, 2, producer=8) + batch(4, 1)
    assert all_of(parts(raw, aborted=[(7, 0)]), 10) == [[2, 3, 4]]
    assert all_of(parts(raw, aborted=[(7, 0)], level=READ_UNCOMMITTED), 10) == [[0, 1, 2, 3, 4]]
    assert all_of(columns(raw, aborted=[(7, 0)]), 10) == [[2, 3, 4]]
    last = parts(batch(0, 2) + batch(2, 2, producer=7), aborted=[(7, 2)])
    assert all_of(last, 10) == [[0, 1]]
    assert last.next_fetch_offset == 4


def reader() -> Any:
    made = asyncio.StreamReader(limit=4)
    Reader.replace(made)
    return made


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 30), max_size=12))
def test_a_socket_is_read_in_any_pieces(sent: list[bytes], wanted: list[int]) -> None:
    async def read() -> list[bytes]:
        stream, found = reader(), []
        for part in sent:
            stream.feed_data(part)
        stream.feed_eof()
        for n in wanted:
            try:
                found.append(await stream.readexactly(n))
            except asyncio.IncompleteReadError as error:
                found.append(error.partial)
        return found

    found, whole = asyncio.run(read()), b"".join(sent)
    assert b"".join(found) == whole[: sum(wanted)]
    assert [len(part) for part in found] == [
        min(n, max(0, len(whole) - sum(wanted[:at]))) for at, n in enumerate(wanted)
    ]


class Transport:
    """Counts what flow control asks for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


def test_more_than_is_wanted_pauses_the_socket_and_wanting_more_resumes_it() -> None:
    async def read() -> list[str]:
        stream, transport = reader(), Transport()
        stream._transport = transport
        stream.feed_data(bytes(20))
        assert transport.calls == ["pause"]
        assert await stream.readexactly(18) == bytes(18)
        assert transport.calls == ["pause", "resume"]
        waiting = asyncio.ensure_future(stream.readexactly(100))
        await asyncio.sleep(0)
        stream.feed_data(bytes(98))
        assert await waiting == bytes(100)
        return transport.calls

    assert asyncio.run(read()) == ["pause", "resume"]
