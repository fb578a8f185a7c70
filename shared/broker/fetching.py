"""aiokafka's fetches, taken by whole record batches: what it does for every record is done once a batch.

Three places of aiokafka 0.14 that a worker spends a third of its time in, and that have no setting:
- its connections read through asyncio's StreamReader, which appends every part of a response to a growing
  buffer, and copies and moves that again to hand the response over; here parts are joined once;
- its checksums let go of the interpreter's lock for each batch, and wait to have it back;
- its records go through a generator one by one, each an object, copied to add what a batch knows once; after
  `in_columns` a fetch becomes columns instead.
`install` puts the classes below in the places of aiokafka's; they behave alike.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import crc32c
import numpy as np
from aiokafka import conn
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from shared.broker.records import FORMAT, LOG_OVERHEAD, Head, Records, parse

CHECKED = 21
"""Where what a batch's checksum is of begins."""


class Reader(asyncio.StreamReader):
    """A StreamReader of which only `readexactly` is used."""

    # What it takes over from asyncio's.
    _limit: int
    _paused: bool
    _eof: bool
    _transport: asyncio.ReadTransport | None

    _parts: deque[memoryview]
    _held: int
    _wanted: int

    @classmethod
    def replace(cls, reader: Any) -> None:
        """Make a new reader, which has nothing yet, one of this class."""
        reader.__class__ = cls
        reader._parts, reader._held, reader._wanted = deque(), 0, 0

    def feed_data(self, data: Any) -> None:
        """Keep what has come; stop the transport while more is here than is wanted."""
        self._parts.append(memoryview(data))
        self._held += len(data)
        if self._held >= self._wanted:
            self._wakeup_waiter()  # type: ignore[attr-defined]
        if self._transport and not self._paused and self._held > self._wanted + 2 * self._limit:
            self._transport.pause_reading()
            self._paused = True

    def at_eof(self) -> bool:
        """Whether nothing more will come, and nothing is here."""
        return self._eof and not self._held

    async def readexactly(self, n: int) -> bytes:
        """The next n bytes. Raises asyncio.IncompleteReadError if the connection ends before."""
        if error := self.exception():
            raise error
        self._wanted = n
        while self._held < n:
            if self._eof:
                raise asyncio.IncompleteReadError(self._take(self._held), n)
            await self._wait_for_data("readexactly")  # type: ignore[attr-defined]
        taken = self._take(n)
        if self._transport and self._paused and self._held <= self._limit:
            self._paused = False
            self._transport.resume_reading()
        return taken

    def _take(self, n: int) -> bytes:
        taken, missing = [], n
        while missing:
            part = self._parts.popleft()
            if len(part) > missing:
                self._parts.appendleft(part[missing:])
                part = part[:missing]
            taken.append(part)
            missing -= len(part)
        self._held -= n
        self._wanted = 0
        return b"".join(taken)


class Protocol(conn.AIOKafkaProtocol):  # type: ignore[misc]
    """What a connection's reader is fed by; aiokafka makes the reader itself."""

    def __init__(self, closed: Any, reader: asyncio.StreamReader, **rest: Any) -> None:
        Reader.replace(reader)
        super().__init__(closed, reader, **rest)


class Stored(MemoryRecords):  # type: ignore[misc]
    """The record batches of one partition in a response, with the bytes they are made of."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw

    def sound(self) -> bool:
        """Whether the checksum of every whole batch is right; formats older than Kafka 0.11's have none."""
        raw = memoryview(self.raw)
        return all(
            head.magic < FORMAT or crc32c.crc32c(raw[at + CHECKED : behind]) == head.checksum
            for at, behind, head in self.heads()
        )

    def heads(self) -> Iterator[tuple[int, int, Head]]:
        """Where each whole batch begins and ends, and its head; Kafka may cut the last one off."""
        at = 0
        with suppress(struct.error):
            while True:
                head = Head.read(self.raw, at)
                behind = at + LOG_OVERHEAD + head.length
                if behind > len(self.raw):
                    return
                yield at, behind, head
                at = behind


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """A partition's part of a response, to be taken in pieces."""

    next_fetch_offset: int
    columns = False
    """Whether records are taken as columns, or as aiokafka's objects."""

    def __init__(self, tp: Any, records: Stored, *rest: Any, **named: Any) -> None:
        super().__init__(tp, records, *rest, **named)
        self._checked = not self._check_crcs
        self._heads = records.heads()
        self._left: Any = []
        self._behind = self.next_fetch_offset

    def take(self, most: int) -> Sequence[Any]:
        """The next records, `most` or less; fewer only where they end.

        Raises CorruptRecordException before any if a checksum is wrong.
        """
        if not self._checked and not self._records.sound():
            raise CorruptRecordException(f"Invalid CRC - {self._tp}")
        self._checked = True
        found = self._left
        while len(found) < most and self._records.has_next():
            if self.columns:
                more = self._parsed(most - len(found))
                found = Records.concat([found, more]) if found else more
            else:
                found = [*found, *self._objects()]
        taken: Sequence[Any] = found[:most]
        self._left = found[most:]
        self.next_fetch_offset = self._left[0].offset if self._left else self._behind
        return taken

    def _parsed(self, most: int) -> Records:
        """The records of some batches, which are `most` or more if there are so many."""
        known, count, batches = self._behind, 0, []
        while count < most and self._records.has_next():
            at, _, head = next(self._heads)
            if self._next() is not None:
                batches.append((at, head))
                count += head.records
        found = parse(self._records.raw, batches)
        return found[int(np.searchsorted(found.offsets, known)) :]

    def _objects(self) -> list[Any]:
        """The records of the next batch."""
        known, batch = self._behind, self._next()
        objects = (record for record in batch or () if record.offset >= known)
        return [self._consumer_record(self._tp, record) for record in objects]

    def _next(self) -> Any:
        """The next batch, None where nobody is to see it."""
        batch = self._records.next_batch()
        self._behind = batch.next_offset
        return None if self._passed_over(batch) else batch

    @property
    def over(self) -> bool:
        """Whether all has been taken."""
        return not self._left and not self._records.has_next()

    def _passed_over(self, batch: Any) -> bool:
        """Whether nobody is to see a batch: it marks a transaction's end, or was aborted."""
        if self._isolation_level == fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)


class FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """What was fetched of a partition."""

    _partition_records: PartitionRecords | None

    def getall(self, max_records: int | None = None) -> Sequence[Any]:
        """The next records, at most so many, and the position behind them."""
        parts = self._partition_records
        if not self.check_assignment(self._topic_partition) or parts is None:
            return []
        found = parts.take(sys.maxsize if max_records is None else max_records)
        self._update_position()
        if parts.over:
            self._partition_records = None
        return found

    def getone(self) -> Any:
        """The next record, None for none."""
        found = self.getall(1)
        return found[0] if found else None


class InColumns(dict[Any, Any]):
    """What a consumer's fetcher keeps of each partition, to be taken as columns."""

    def __init__(self, kept: Mapping[Any, Any]) -> None:
        super().__init__()
        for tp, fetched in kept.items():
            self[tp] = fetched

    def __setitem__(self, tp: Any, fetched: Any) -> None:
        if isinstance(fetched, FetchResult) and fetched._partition_records is not None:
            fetched._partition_records.columns = True
        super().__setitem__(tp, fetched)


def in_columns(consumer: Any) -> None:
    """From now on, `getmany` of this AIOKafkaConsumer gives `Records`, of message format 2."""
    if not isinstance(consumer._fetcher._records, InColumns):
        consumer._fetcher._records = InColumns(consumer._fetcher._records)


def install() -> None:
    """From now on, aiokafka's consumers of this process fetch like this."""
    conn.AIOKafkaProtocol = Protocol
    fetcher.MemoryRecords, fetcher.PartitionRecords = Stored, PartitionRecords
    fetcher.FetchResult = FetchResult
