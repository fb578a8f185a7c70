"""A producer for many concurrent requests that each wait for Kafka's acknowledgement of one record.

Records gather per partition while the partition's previous batch is on its way, so batches grow with load by
themselves and a lone record leaves at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared.broker.closing import close, retrieve
from shared.broker.lanes import Entry, Lane
from shared.broker.limits import MAX_BATCH_BYTES, Headers, RecordTooLarge, check_size, record_size
from shared.broker.partitioner import partition_for, partitions_for
from shared.broker.settings import BrokerSettings

BUFFER_BYTES = 64 * 1024 * 1024
"""Records waiting or under way beyond this are refused, so that an outage cannot exhaust memory."""
TIMEOUT_S = 5.0
"""How long a record may wait for its acknowledgement; a broker restart takes about as long."""
RECONNECT_S = 0.5
SWEEPS_PER_TIMEOUT = 10


class BufferFull(RuntimeError):
    """The producer holds as much as it may; try again shortly (HTTP 503 with Retry-After)."""


class Unavailable(RuntimeError):
    """Kafka did not acknowledge in time. `maybe_written` tells that the record may still reach the log."""

    def __init__(self, message: str, *, maybe_written: bool) -> None:
        super().__init__(message)
        self.maybe_written = maybe_written


class Receipt(NamedTuple):
    """Where an acknowledged record lies; `timestamp` in ms, the broker's with LogAppendTime (else -1)."""

    partition: int
    offset: int
    timestamp: int


class BatchProducer:
    """An idempotent producer with acks=all. Topics are full names (`settings.topic(…)`).

    It connects in the background and again after any failure, so it may start before Kafka does.
    `linger_ms` delays the first record of an idle partition; measured, 0 gives both the lowest latency and
    the highest rate.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        linger_ms: float = 0.0,
        max_buffered_bytes: int = BUFFER_BYTES,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._settings = settings
        self._linger_s = linger_ms / 1000
        self._max_buffered_bytes = max_buffered_bytes
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._connected = asyncio.Event()
        self._lanes: dict[str, list[Lane]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self.buffered_bytes = 0
        """Bytes of records waiting or under way."""

    @property
    def available(self) -> bool:
        """Whether Kafka is connected and no batch has been under way for longer than the timeout."""
        return self._producer is not None and not any(
            lane.flying and lane.overdue for lanes in self._lanes.values() for lane in lanes
        )

    async def start(self) -> None:
        """Begin to connect, and return without waiting for it."""
        self._loop = asyncio.get_running_loop()
        self._spawn(self._connect())
        self._sweep()

    async def stop(self) -> None:
        """Send what is buffered, for at most the timeout, and close. What is left raises Unavailable."""
        lanes = [lane for lanes in self._lanes.values() for lane in lanes]
        ends = [entry.future for lane in lanes for entry in (*lane.flying, *lane.waiting)]
        if ends and self._producer is not None:
            await asyncio.wait(ends, timeout=self._timeout_s)
        for lane in lanes:
            self._fail([*lane.flying, *lane.take_all()], "the producer was stopped", maybe_written=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await close(producer, self._timeout_s)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> Receipt:
        """Write one record to the partition that murmur2 gives `key`; return when Kafka acknowledged it.

        Raises BufferFull or RecordTooLarge at once, and Unavailable after the timeout.
        """
        lanes = self._lanes.get(topic) or await self._open(topic)
        self._reserve(record_size(key, value, headers))
        return await self._enqueue(lanes[partition_for(key, len(lanes))], key, value, headers)

    async def send_many(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Headers = ()
    ) -> list[Receipt]:
        """Write (key, value) records, each with `headers`; return in their order when all are acknowledged.

        Nothing is written when BufferFull or RecordTooLarge is raised; after Unavailable, some may be.
        """
        lanes = self._lanes.get(topic) or await self._open(topic)
        sizes = [record_size(key, value, headers) for key, value in records]
        self._reserve(sum(sizes), max(sizes, default=0))
        partitions = partitions_for([key for key, _ in records], len(lanes)).tolist()
        futures = [
            self._enqueue(lanes[partition], key, value, headers)
            for partition, (key, value) in zip(partitions, records, strict=True)
        ]
        try:
            return [await future for future in futures]
        except BaseException:  # the first failure speaks for all
            for future in futures:
                future.add_done_callback(retrieve)
            raise

    def _reserve(self, size: int, largest: int | None = None) -> None:
        check_size(size if largest is None else largest)
        if self.buffered_bytes + size > self._max_buffered_bytes:
            raise BufferFull(f"{self.buffered_bytes:,} bytes wait for Kafka; no room for {size:,} more")
        self.buffered_bytes += size

    def _enqueue(self, lane: Lane, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Receipt]:
        future: asyncio.Future[Receipt] = self._loop.create_future()
        lane.waiting.append(Entry(key, value, headers, future, self._loop.time() + self._timeout_s))
        if not lane.flying and lane.timer is None:
            lane.timer = self._loop.call_later(self._linger_s, self._flush, lane)
        return future

    def _flush(self, lane: Lane) -> None:
        lane.timer = None
        producer = self._producer
        if producer is None or lane.flying or not lane.waiting:
            return
        batch = producer.create_batch()
        lane.fill(batch)
        self._spawn(self._deliver(producer, lane, batch))

    async def _deliver(self, producer: AIOKafkaProducer, lane: Lane, batch: object) -> None:
        try:
            delivery = await producer.send_batch(batch, lane.topic, partition=lane.partition)
            written = await delivery
        except MessageSizeTooLargeError as error:
            self._end(lane, RecordTooLarge(f"Kafka refused a batch for {lane.topic}: {error}"))
            self._replace(producer)
        except KafkaError as error:  # what could be tried again has been; this producer's sequence is broken
            self._end(lane, Unavailable(f"{type(error).__name__}: {error}", maybe_written=True))
            self._replace(producer)
        else:
            for index, entry in enumerate(lane.flying):
                if not entry.future.done():
                    entry.future.set_result(
                        Receipt(lane.partition, written.offset + index, written.timestamp)
                    )
            self._end(lane, None)

    def _end(self, lane: Lane, problem: Exception | None) -> None:
        for entry in lane.flying:
            self.buffered_bytes -= entry.size
            if problem is not None and not entry.future.done():
                entry.future.set_exception(problem)
        lane.landed()
        self._flush(lane)

    def _fail(self, entries: Sequence[Entry], why: str, *, maybe_written: bool) -> None:
        for entry in entries:
            if not entry.future.done():
                entry.future.set_exception(Unavailable(why, maybe_written=maybe_written))

    def _sweep(self) -> None:
        """Fail what has waited too long. A batch under way stays so: Kafka may still take it."""
        now = self._loop.time()
        why = f"Kafka at {self._settings.broker} did not acknowledge within {self._timeout_s:g} s"
        for lane in (lane for lanes in self._lanes.values() for lane in lanes):
            if lane.flying and not lane.overdue and lane.flying[0].deadline <= now:
                lane.overdue = True
            if lane.overdue:
                self._fail(lane.flying, why, maybe_written=True)
            expired = lane.take_expired(now)
            self.buffered_bytes -= sum(entry.size for entry in expired)
            self._fail(expired, why, maybe_written=False)
        self._sweeper = self._loop.call_later(self._timeout_s / SWEEPS_PER_TIMEOUT, self._sweep)

    async def _open(self, topic: str) -> list[Lane]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connected.wait()
                assert self._producer is not None
                partitions = await self._producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise Unavailable(
                f"cannot reach topic {topic} on {self._settings.broker}: {error or 'no answer'}",
                maybe_written=False,
            ) from error
        return self._lanes.setdefault(topic, [Lane(topic, index) for index in range(len(partitions))])

    async def _connect(self) -> None:
        while self._producer is None:
            producer = AIOKafkaProducer(
                **self._settings.aiokafka(),
                acks="all",
                enable_idempotence=True,
                max_batch_size=MAX_BATCH_BYTES,
            )
            try:
                await producer.start()
            except (KafkaError, OSError):
                await producer.stop()
                await asyncio.sleep(RECONNECT_S)
            else:
                self._producer = producer
        self._connected.set()
        for lane in (lane for lanes in self._lanes.values() for lane in lanes):
            self._flush(lane)

    def _replace(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            self._connected.clear()
            self._spawn(self._connect())
            self._spawn(close(producer, self._timeout_s))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
