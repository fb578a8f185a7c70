"""The extension of Faust that hands over whole batches: one message for each partition and fetch.

Stock Faust makes four tasks for every record; here it makes them for every batch, and keeps all the rest:
workers, rebalancing, agents, flow control, commits. Only Faust's own extension points are used: a Consumer,
a Transport that names it and a Schema. Written for faust-streaming 0.15, mode 0.7 and aiokafka 0.14.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.tables.recovery import RebalanceAgain
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from numpy.typing import NDArray

from shared.broker import fetching
from shared.broker.records import Records
from shared.wire.slices import Slices

fetching.install()

Partitions = frozenset[TopicPartition]
Offsets = Mapping[TopicPartition, int]

EMPTY = Records.concat([])
POLL_SECONDS = 0.1
"""How long the fetcher waits for records before it looks again which partitions are paused."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive records of one partition as they were fetched, in log order."""

    topic: str
    """Full name on the cluster."""
    partition: int
    records: Records
    next_offset: int
    """Where reading goes on: behind the last record, and behind transaction markers that follow it."""

    def __len__(self) -> int:
        return len(self.records)

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return int(np.maximum(self.values.lengths, 0).sum())

    @property
    def keys(self) -> Slices:
        """The records' keys."""
        return self.records.keys

    @property
    def values(self) -> Slices:
        """The records' values."""
        return self.records.values

    @property
    def offsets(self) -> NDArray[np.int64]:
        """The records' offsets; they grow, not always by one."""
        return self.records.offsets

    @property
    def timestamps(self) -> NDArray[np.int64]:
        """The records' times in ms: when they were appended, if the topic is set so."""
        return self.records.timestamps


def joined(batches: Sequence[Batch]) -> Batch:
    """Consecutive batches of one partition, at least one, as one."""
    first, last = batches[0], batches[-1]
    if len(batches) == 1:
        return first
    records = Records.concat([batch.records for batch in batches])
    return Batch(first.topic, first.partition, records, last.next_offset)


async def _nothing(partitions: Partitions) -> None: ...


async def _nowhere(partitions: Partitions) -> Offsets:
    return {}


@dataclass(frozen=True)
class Hooks:
    """What a service does when its partitions change. A hook that raises stops the worker.

    Calls never overlap: `assigned`, then `start_offsets`, then `revoked` with the same partitions.
    """

    assigned: Callable[[Partitions], Awaitable[None]] = _nothing
    start_offsets: Callable[[Partitions], Awaitable[Offsets]] = _nowhere
    """Where to begin, whatever the group has committed. Nothing is handed over before it has answered."""
    revoked: Callable[[Partitions], Awaitable[None]] = _nothing
    """Awaited, after the batch in hand, before anybody else gets the partitions; also when the worker stops,
    but not after a crash."""


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """aiokafka's consumer with our settings, telling how far it has read beside what it has read."""

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(**transport.consumer)

    async def _fetch_records(
        self, consumer: AIOKafkaConsumer, active_partitions: Partitions, **limits: Any
    ) -> dict[TP, tuple[Records, int]]:
        fetching.in_columns(consumer)
        found = await super()._fetch_records(consumer, active_partitions, **limits)
        if not self.consumer.flow_active:
            return {}
        watched = active_partitions if self.transport.empty_batches else found.keys()
        return {
            tp: (found.get(tp, EMPTY), await consumer.position(tp)) for tp in watched & consumer.assignment()
        }

    def close(self) -> None:
        """A rebalance while the worker stops: the stop under way closes the consumer."""


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Gives each partition's share of a fetch as one message, whose offset is the last one read."""

    transport: Transport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changing = asyncio.Lock()
        self._fetching = asyncio.Lock()
        self._settled = False
        self._held: Partitions = frozenset()
        self._next: dict[TP, int] = {}
        self.paused: set[TP] = set()
        self.app.on_rebalance_complete.connect(self._take)
        self.app.on_before_shutdown.connect(self._release)

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = frozenset(self._get_active_partitions() - self.paused)
        if not active or self.should_stop:
            await self.sleep(POLL_SECONDS)
            return
        generation = self.app.consumer_generation_id
        async with self._fetching:
            found = await self._getmany(active, POLL_SECONDS)
        for tp, (records, position) in found.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # the assignment that follows seeks to where this began
            if position > self._next[tp]:
                self._next[tp] = position
                batch = Batch(tp.topic, tp.partition, records, position)
                yield TP(*tp), self._message(TP(*tp), batch, generation)

    def _message(self, tp: TP, batch: Batch, generation: int) -> ConsumerMessage:
        time = batch.records[-1].timestamp / 1000 if batch.records else None
        last = batch.next_offset - 1
        return ConsumerMessage(
            *tp, last, time, None, None, None, batch, None, tp=tp, generation_id=generation
        )

    def _new_offset(self, tp: TP) -> int | None:
        acked, self._acked[tp] = self._acked[tp], []
        self._acked_index[tp].clear()
        return max(acked) + 1 if acked else None

    @property
    def coordinator(self) -> Any:
        """aiokafka's, which knows this member's place in the group."""
        return self._thread._ensure_consumer()._coordinator

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets between two messages are the records inside the second."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        # A stream also acknowledges what its agent had in hand when it failed or was cancelled.
        if not self.transport.commits or self.app.crashed:
            return False
        return bool(await super()._commit_offsets(offsets, start_new_transaction))

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Left to the service's health checks, which measure lag and progress."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._settled = False
        if self._held:  # finish and commit before Faust forgets what was acknowledged
            self._suspend()
            await self.wait_empty()
        await super().on_partitions_revoked(revoked)
        await self._release()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._settled = True
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        if not self._settled:
            raise RebalanceAgain
        async with self._fetching:  # a fetch begun before the rebalance may yet move what is sought here
            await self.seek_wait(self._next)
        self._committed_offset.update(dict.fromkeys(self._next))

    def _suspend(self) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()

    async def _take(self, *_: Any, **__: Any) -> None:
        async with self._changing:
            self._suspend()
            if not self._settled or self.app.should_stop:
                raise RebalanceAgain
            self._held = frozenset(TopicPartition(*tp) for tp in self.assignment())
            if self._held:
                await self.transport.hooks.assigned(self._held)
                self._next = await self._starts(self._held)

    async def _starts(self, partitions: Partitions) -> dict[TP, int]:
        told = await self.transport.hooks.start_offsets(partitions)
        starts = {TP(*tp): offset for tp, offset in told.items()}
        committed = self._thread._ensure_consumer().committed
        for tp in partitions - starts.keys():
            if (offset := await self._thread.call_thread(committed, tp)) is not None:
                starts[TP(*tp)] = offset
        if fresh := partitions - starts.keys():
            starts |= {TP(*tp): offset for tp, offset in (await self.earliest_offsets(*fresh)).items()}
        return starts

    async def _release(self, *_: Any, **__: Any) -> None:
        async with self._changing:
            held, self._held = self._held, frozenset()
            self.paused -= held
            if not held or self.app.crashed:
                return
            try:
                await self.transport.hooks.revoked(held)
            except Exception as error:  # aiokafka would log it and go on
                await self.app.crash(error)


class Transport(driver.Transport):  # type: ignore[misc]
    """Makes Faust use `Consumer`, with what `shared.broker.batches.create_app` sets here."""

    Consumer = Consumer

    consumer: dict[str, Any]
    hooks: Hooks
    commits: bool
    empty_batches: bool


class WholeBatches(faust.Schema):  # type: ignore[misc]
    """Hands a message's batch to the agent as it is."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value
