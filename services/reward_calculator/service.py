"""The worker: partitions come and go, their batches are handed over, idle inputs are looked at."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from aiokafka import TopicPartition

from services.reward_calculator.cycle import Cycle
from services.reward_calculator.handlers import Handlers, Records
from services.reward_calculator.observing import Observation
from services.reward_calculator.partition import GROUP, Partition, Start, Tick
from services.reward_calculator.progress import Progress
from services.reward_calculator.recovery import read_emitted
from services.reward_calculator.settings import Settings
from shared.applications.observing import RewardObserver
from shared.broker.batches import Batch, Hooks, Partitions, create_app
from shared.broker.group_writer import GroupWriter
from shared.broker.settings import BrokerSettings
from shared.broker.stable_offsets import stable_offsets
from shared.core.join import Emitted
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics

INPUTS = ("decisions", "interactions")
FETCH_BYTES = 2 << 20
"""Of one partition at once: some thousands of records, so that a transaction's cost is spread over many."""
STABLE_S = 45.0
"""How long a transaction of who had the partitions before may stay open: Kafka ends it within this time."""
log = logging.getLogger(__name__)


class RewardCalculator:
    """All partitions that this worker holds."""

    def __init__(
        self,
        settings: Settings,
        broker: BrokerSettings,
        handlers: Handlers,
        metrics: Metrics,
        health: Health,
        observers: Mapping[str, RewardObserver],
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self._settings, self._broker, self._handlers, self._metrics = settings, broker, handlers, metrics
        self._observers = observers
        self._names = {broker.topic(name): name for name in INPUTS}
        self._work: asyncio.Task[None] | None = None
        self._writer: GroupWriter | None = None
        self._paused: set[TopicPartition] = set()
        self._failed = asyncio.Event()
        self._loop = health.loop("join")
        health.check("recovery", self._unready)
        self.app = create_app(
            GROUP,
            broker,
            commits="none",
            empty_batches=True,
            instance=settings.instance,
            max_partition_bytes=FETCH_BYTES,
            hooks=Hooks(start_offsets=self._start, revoked=self._stop),
        )
        self.app.agent(self.app.batches(*self._names), concurrency=1)(self._hand_over)

    async def watch(self) -> None:
        """Look again and again how far the inputs reach, so that windows close without traffic too; raise
        what stops a partition."""
        while True:
            began = time.monotonic()
            await self._tick()
            if self._work is not None and self._work.done():
                self._work.result()
            await asyncio.sleep(max(0.0, began + self._settings.tick_ms / 1000 - time.monotonic()))

    async def _hand_over(self, stream: AsyncIterator[Batch]) -> None:
        async for batch in stream:
            partition = self.partitions.get(batch.partition)
            if partition is None:
                continue  # revoked meanwhile: whoever has it now reads it again
            await self._put(partition, batch)

    async def _put(self, partition: Partition, batch: Batch) -> None:
        """Wait for room, but not when the work has failed."""
        records = _records(self._names[batch.topic], batch)
        if not partition.inbox.full:
            partition.add(records, batch.size)
        elif self._work is not None:
            put = asyncio.ensure_future(partition.put(records, batch.size))
            await asyncio.wait([put, self._work], return_when=asyncio.FIRST_COMPLETED)
            if not put.done():
                put.cancel()

    async def _start(self, assigned: Partitions) -> dict[TopicPartition, int]:
        """Take over the partitions: whoever had them can write no more, so read where they stand."""
        member = self.app.member()
        self._metrics.rebalances.inc()
        numbers = sorted({tp.partition for tp in assigned})
        self._writer = writer = GroupWriter(self._broker, GROUP, self._settings.instance, member)
        await writer.start()
        committed = await self._committed(assigned)
        earliest = await self.app.earliest_offsets(assigned)
        starts: dict[TopicPartition, int] = {}
        cycle = self._cycle(writer)
        for number in numbers:
            tps = {name: TopicPartition(topic, number) for topic, name in self._names.items()}
            found = {name: committed.get(tp) for name, tp in tps.items()}
            offsets = {
                name: max(earliest[tp], held[0] if (held := found[name]) else 0) for name, tp in tps.items()
            }
            progress = found["decisions"] or found["interactions"]
            self._open(number, Start(**offsets, target=progress[1] if progress else None), cycle)
            starts |= {tps[name]: offset for name, offset in offsets.items()}
        self._work = asyncio.create_task(_work(list(self.partitions.values()), cycle), name="partitions")
        for topic in INPUTS:
            self._metrics.partitions.labels(topic).set(len(numbers))
        return starts

    async def _committed(self, assigned: Partitions) -> dict[TopicPartition, tuple[int, Progress | None]]:
        found = await stable_offsets(self._broker, self._broker.group(GROUP), assigned, STABLE_S)
        return {tp: (at.offset, Progress.from_metadata(at.metadata)) for tp, at in found.items()}

    def _cycle(self, writer: GroupWriter) -> Cycle:
        return Cycle(
            self.partitions.values(),
            handlers=self._handlers,
            writer=writer,
            broker=self._broker,
            settings=self._settings,
            metrics=self._metrics,
            observation=Observation(self._handlers, self._observers),
        )

    def _open(self, number: int, start: Start, cycle: Cycle) -> None:
        async def emitted(partition: int, since: int) -> Mapping[str, Emitted]:
            return await read_emitted(self._broker, partition, since)

        self.partitions[number] = Partition(
            number,
            start,
            handlers=self._handlers,
            broker=self._broker,
            settings=self._settings,
            read_emitted=emitted,
            news=cycle.wake,
        )

    async def _stop(self, _revoked: Partitions) -> None:
        work, self._work = self._work, None
        self.partitions = {}
        self._paused.clear()
        if work is not None:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    async def _tick(self) -> None:
        held = {
            TopicPartition(topic, number): name
            for number in self.partitions
            for topic, name in self._names.items()
        }
        if not held:
            self._loop.observe(0)
            return
        now = int(time.time() * 1000)
        ends = await self.app.end_offsets(held)
        lag = 0
        for number, partition in list(self.partitions.items()):
            tps = [TopicPartition(topic, number) for topic in self._names]
            if not all(tp in ends for tp in tps):
                continue
            if not partition.inbox.full:
                partition.add(Tick(now, (ends[tps[0]], ends[tps[1]])))
            for tp, name in zip(tps, INPUTS, strict=True):
                behind = max(0, ends[tp] - partition.next[name])
                self._metrics.lag_records.labels(name, str(number)).set(behind)
                lag += behind
            self._balance(partition, tps)
        self._loop.observe(lag, tuple(tuple(p.next.values()) for p in self.partitions.values()))
        self._metrics.held_bytes.set(sum(p.join.state_bytes for p in self.partitions.values()))

    def _balance(self, partition: Partition, inputs: list[TopicPartition]) -> None:
        """Leave in Kafka what memory has no room for, and the input that is read too far ahead."""
        join, share = partition.join, self._settings.state_mb * 1_000_000 / len(self.partitions)
        ahead = join.decisions_clock - join.interactions_clock
        full = join.state_bytes > share
        known = join.decisions_clock and join.interactions_clock
        wanted = {
            inputs[0]: full or bool(known and ahead > self._settings.align_ms),
            inputs[1]: not full and bool(known and -ahead > self._settings.align_ms),
        }
        for tp, pause in wanted.items():
            if pause and tp not in self._paused:
                self.app.pause([tp])
                self._paused.add(tp)
            elif not pause and tp in self._paused:
                self.app.resume([tp])
                self._paused.discard(tp)

    def _unready(self) -> str | None:
        if not self.partitions:
            return "no partitions yet"
        recovering = [str(p.number) for p in self.partitions.values() if p.recovering]
        return f"partitions {', '.join(recovering)} read their state back" if recovering else None


async def _work(partitions: Sequence[Partition], cycle: Cycle) -> None:
    """Bring the partitions' states back, and take their steps, until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cycle.run(), name="cycle")
        for partition in partitions:
            tasks.create_task(partition.recover(), name=f"recovery {partition.number}")


def _records(topic: str, batch: Batch) -> Records:
    return Records(
        topic,
        batch.partition,
        batch.keys,
        batch.values,
        batch.offsets,
        batch.timestamps,
        batch.next_offset,
    )
