"""Rewards from Kafka into the archive. Where to go on is read from file names, whatever the group says."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import polars as pl
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from services.trainer.settings import TrainerSettings
from shared.applications.contract import Application
from shared.archive.archive import Archive, Overtaken
from shared.archive.columns import decode
from shared.broker import fetching
from shared.broker.records import Records
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics, bounded

fetching.install()

GROUP, TOPIC = "trainer-archive", "rewards"
FETCH_MS = 200
FETCH_BYTES = 1 << 20
"""Of a partition: what is fetched ahead lies in memory too."""
RETRY_S = 1.0
DECODED = 8_000
"""Rewards that are decoded at a time, since that takes several times their bytes in memory."""
RECORD_BYTES = 64
"""What it takes to know where a record's parts are, beside its own bytes."""
PART_BYTES = 1_000
"""What it takes to hold a fetch, beside its records."""
log = logging.getLogger(__name__)


class ForeignArchive(RuntimeError):
    """The archive has offsets that the topic does not have yet: it is another cluster's."""


@dataclass
class Heap:
    """Rewards of a partition that are read and not yet archived, from offset `first` up to `next`."""

    first: int
    next: int
    since: float = 0.0
    size: int = 0
    """Bytes."""
    count: int = 0
    parts: list[Records] = field(default_factory=list)
    """As they were fetched."""

    def add(self, records: Records) -> None:
        """Read on."""
        self.parts.append(records)
        self.count += len(records)
        self.size += PART_BYTES + RECORD_BYTES * len(records) + len(records.values.raw)
        self.next = int(records.offsets[-1]) + 1

    def portions(self) -> Iterator[Records]:
        """Hand all over in order, in few pieces; a piece has DECODED or as many as were fetched at once."""
        taken, count = list[Records](), 0
        self.parts.reverse()
        while self.parts:
            if taken and count + len(self.parts[-1]) > DECODED:
                yield Records.concat(taken)
                taken, count = [], 0
            taken.append(self.parts.pop())
            count += len(taken[-1])
        yield Records.concat(taken)


class Archiver:
    """Reads the partitions of `rewards` that its group gives it, and makes files of them."""

    def __init__(
        self,
        settings: TrainerSettings,
        broker: BrokerSettings,
        archive: Archive,
        applications: dict[str, Application],
        metrics: Metrics,
        health: Health,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._broker, self._archive = settings, broker, archive
        self._applications, self._metrics, self._monotonic = applications, metrics, monotonic
        self._loop = health.loop("archive", limit=120.0)
        self._heaps: dict[TopicPartition, Heap] = {}
        self._wanted: list[Future[None]] = []
        self._ready, self._failed = False, list[Exception]()
        self._writing = asyncio.Lock()
        self._storing: asyncio.Task[None] | None = None
        health.check(
            "archive", lambda: None if self._ready else "no partitions of rewards yet, or Kafka is away"
        )

    def flush(self) -> "Future[None]":
        """Ask to archive all that the topic has now; from any thread."""
        done: Future[None] = Future()
        self._wanted.append(done)
        return done

    async def run(self) -> None:
        """Archive until cancelled; Kafka may come and go. Raises ForeignArchive, OSError."""
        while True:
            consumer = self._consumer()
            try:
                await consumer.start()
                fetching.in_columns(consumer)
                consumer.subscribe([self._broker.topic(TOPIC)], listener=_Listener(self, consumer))
                while True:
                    await self._round(consumer)
            except (KafkaError, Overtaken) as error:
                log.warning("%s %s; trying again", type(error).__name__, error)
            finally:
                self._ready = False
                self._heaps = {}
                if self._storing is not None:
                    await asyncio.wait([self._storing])
                    self._storing = None
                await consumer.stop()
            await asyncio.sleep(RETRY_S)

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._broker.aiokafka(),
            group_id=self._broker.group(GROUP),
            group_instance_id=self._settings.instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=FETCH_BYTES,
        )

    async def take(self, consumer: AIOKafkaConsumer, assigned: set[TopicPartition]) -> None:
        """Go on where the archive ends. What goes wrong `run` raises, since Kafka's client would not."""
        try:
            async with self._writing:  # what this process is archiving still must not be taken for a leftover
                await self._take(consumer, assigned)
        except (KafkaError, OSError, ForeignArchive) as error:
            self._failed.append(error)

    async def _take(self, consumer: AIOKafkaConsumer, assigned: set[TopicPartition]) -> None:
        ends = await consumer.end_offsets(list(assigned))
        starts = await consumer.beginning_offsets(list(assigned))
        for where in assigned:
            position = await asyncio.to_thread(self._archive.recover, where.partition)
            if position is not None and position > ends[where]:
                raise ForeignArchive(
                    f"{self._archive.storage.address} has rewards of {where.topic}-{where.partition} up to "
                    f"offset {position}, the topic ends at {ends[where]}: name another STREAMWHEEL_ARCHIVE"
                )
            if position is not None and position < starts[where]:
                log.warning(
                    "rewards %d to %d of partition %d were deleted unarchived",
                    position,
                    starts[where],
                    where.partition,
                )
            first = max(position or 0, starts[where])
            consumer.seek(where, first)
            self._heaps[where] = Heap(first, first)
        self._ready = True

    def leave(self) -> None:
        """Forget what is read: whoever has the partitions next reads it again."""
        self._heaps, self._ready = {}, False

    async def _round(self, consumer: AIOKafkaConsumer) -> None:
        if self._failed:
            raise self._failed.pop()
        wanted: list[Future[None]] = []
        if self._ready:  # who has no partitions yet cannot say that all is archived
            wanted, self._wanted = self._wanted, []
        self._gather(await consumer.getmany(timeout_ms=0 if wanted else FETCH_MS))
        if wanted:
            await self._catch_up(consumer)
        for where in self._ripe(everything=bool(wanted)):
            await self._begin_storing(consumer, where)
        if wanted:
            await self._stored()
        for done in wanted:
            done.set_result(None)
        self._loop.beat()
        self._measure(consumer)

    async def _begin_storing(self, consumer: AIOKafkaConsumer, where: TopicPartition) -> None:
        """Archive a heap while reading goes on; one at a time, so files of a partition appear in order."""
        await self._stored()
        if heap := self._heaps.get(where):
            self._heaps[where] = Heap(heap.next, heap.next)
            self._storing = asyncio.create_task(self._store(consumer, where, heap))

    async def _stored(self) -> None:
        """Wait for what is being archived. Raises what that raises."""
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    def _gather(self, fetched: Mapping[TopicPartition, Records]) -> None:
        for where, records in fetched.items():
            heap = self._heaps.get(where)
            if heap is None or not len(records):
                continue
            if not heap.count:
                heap.since = self._monotonic()
            heap.add(records)
            self._metrics.records_in.labels(TOPIC).inc(len(records))

    async def _catch_up(self, consumer: AIOKafkaConsumer) -> None:
        """Read to where the partitions end now."""
        ends = await consumer.end_offsets(list(self._heaps))
        while any([await consumer.position(where) < ends[where] for where in list(self._heaps)]):
            self._gather(await consumer.getmany(timeout_ms=FETCH_MS))
            for where in self._ripe():
                await self._begin_storing(consumer, where)

    def _ripe(self, everything: bool = False) -> list[TopicPartition]:
        """Whose heaps are to become files now: those that are due, and the largest while memory is short."""
        largest = sorted(self._heaps.items(), key=lambda item: item[1].size, reverse=True)
        total = sum(heap.size for _, heap in largest)
        ripe = []
        for where, heap in largest:
            if heap.count and (everything or total >= self._settings.flush_bytes or self._due(heap)):
                ripe.append(where)
                total -= heap.size
        return ripe

    def _due(self, heap: Heap) -> bool:
        waited = self._monotonic() - heap.since >= self._settings.flush_after.total_seconds()
        return waited or heap.count >= self._settings.flush_rewards

    async def _store(self, consumer: AIOKafkaConsumer, where: TopicPartition, heap: Heap) -> None:
        began = self._monotonic()
        async with self._writing:
            await asyncio.to_thread(self._commit, where.partition, heap)
        self._metrics.archive_seconds.observe(self._monotonic() - began)
        if where in self._heaps:
            await consumer.commit({where: heap.next})  # for those who look at lag; see `take`

    def _commit(self, partition: int, heap: Heap) -> None:
        frame, refused = decoded(partition, heap)
        for reason, count in refused.items():
            log.warning("%d rewards of partition %d cannot be archived: %s", count, partition, reason)
            self._metrics.records_filtered.labels(TOPIC, reason).inc(count)
        for part in self._archive.commit(partition, heap.first, heap.next, frame):
            self._metrics.archived.labels(bounded(part.application, self._applications)).inc(part.rows)

    def _measure(self, consumer: AIOKafkaConsumer) -> None:
        for where, heap in self._heaps.items():
            end = consumer.last_stable_offset(where)
            lag = max(0, (end or 0) - heap.first)
            self._metrics.lag_records.labels(TOPIC, where.partition).set(lag)


def decoded(partition: int, heap: Heap) -> tuple[pl.DataFrame, Counter[str]]:
    """A heap as the archive's columns, and what could not become a row by reason."""
    frames, refused = [], Counter[str]()
    for records in heap.portions():
        found = decode(records.values, records.offsets, partition)
        frames.append(found.frame)
        refused += found.refused
    return pl.concat(frames), refused


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, archiver: Archiver, consumer: AIOKafkaConsumer) -> None:
        self._archiver, self._consumer = archiver, consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Called before a rebalance."""
        self._archiver.leave()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Called after it."""
        await self._archiver.take(self._consumer, assigned)
