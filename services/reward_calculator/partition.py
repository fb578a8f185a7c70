"""One partition of the join at work: read, join, write all in one transaction."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.reward_calculator.counting import count
from services.reward_calculator.handlers import Dead, Handlers, Moved, Records, Sifted, refused
from services.reward_calculator.observing import Fact, Observation
from services.reward_calculator.progress import Progress
from services.reward_calculator.recovery import ReadEmitted, Recovery
from services.reward_calculator.settings import Settings
from shared.broker.dead_letters import headers
from shared.broker.gathering import GatheringWriter, Send, Writes
from shared.broker.inbox import Inbox
from shared.broker.settings import BrokerSettings
from shared.core.join import Join, Output
from shared.telemetry.metrics import Metrics
from shared.wire.slices import concat

GROUP = STAGE = "reward-calculator"
INBOX_BYTES = 8 << 20
"""What may wait for a partition before its inputs are left in Kafka."""
LARGE_BYTES = 1 << 20
"""With so much waiting the next step is made while the last one's transaction is under way; with less, all
that has come by its end is one step, since small steps cost nearly as much as larger ones."""


@dataclass(frozen=True)
class Tick:
    """At `time` (ms, this machine's clock) the inputs ended at these offsets."""

    time: int
    ends: tuple[int, int]
    """Of decisions and interactions."""


@dataclass(frozen=True)
class Start:
    """Where a partition takes up its work."""

    decisions: int
    interactions: int
    """First offsets that will be read."""
    target: Progress | None
    """What the last transaction before had taken in, or None for a new partition."""


class Partition:
    """State of one partition number of decisions and interactions.

    Everything that a step decides is written in one transaction with the low watermark that a restart reads
    from. A transaction that fails ends the process: the log is the state, memory is a copy of it.
    """

    def __init__(
        self,
        number: int,
        start: Start,
        *,
        handlers: Handlers,
        writer: GatheringWriter,
        broker: BrokerSettings,
        settings: Settings,
        metrics: Metrics,
        read_emitted: ReadEmitted,
        observation: Observation,
    ) -> None:
        self.number = number
        self.join = Join(handlers.windows, handlers.evaluate, settings.copies_ms)
        self.inbox: Inbox[Records | Tick] = Inbox(INBOX_BYTES)
        self.next = {"decisions": start.decisions, "interactions": start.interactions}
        self._handlers, self._writer, self._broker = handlers, writer, broker
        self._settings, self._metrics, self._read_emitted = settings, metrics, read_emitted
        self._observation = observation
        self._recovery = (
            Recovery(number, start.target, dict(self.next), handlers, self.join) if start.target else None
        )
        self._committed_at = 0.0
        self._writing: asyncio.Task[None] | None = None

    @property
    def recovering(self) -> bool:
        """Whether the state is still being read back from the log."""
        return self._recovery is not None

    async def run(self) -> None:
        """Work off the inbox until cancelled. Whatever it raises must end the process."""
        try:
            await self._work()
        finally:
            if self._writing is not None:
                self._writing.cancel()

    async def _work(self) -> None:
        if self._recovery and self._recovery.complete:
            await self._end_recovery(self._recovery)
        while True:
            await self.inbox.wait()
            if self.inbox.bytes < LARGE_BYTES:
                await self._written()
            items = self.inbox.take()
            batches = [item for item in items if isinstance(item, Records)]
            if self._recovery:
                await self._recover(self._recovery, batches)
            else:
                await self._step(batches, [item for item in items if isinstance(item, Tick)])

    async def _recover(self, recovery: Recovery, batches: list[Records]) -> None:
        for batch in batches:
            recovery.take(batch)
        if recovery.complete:
            await self._end_recovery(recovery)

    async def _end_recovery(self, recovery: Recovery) -> None:
        beyond = await recovery.finish(self._read_emitted)
        self._recovery = None
        self.next = recovery.positions
        await self._step(beyond, [])

    async def _step(self, batches: list[Records], ticks: list[Tick]) -> None:
        began = time.perf_counter()
        inputs = [joined([b for b in batches if b.topic == topic]) for topic in self.next]
        for batch in filter(None, inputs):
            self.next[batch.topic] = batch.next_offset
        decisions, sifted_d = self._handlers.decisions(inputs[0]) if inputs[0] else (None, Sifted())
        interactions, sifted_i = self._handlers.interactions(inputs[1]) if inputs[1] else (None, Sifted())
        output = self.join.step(decisions, interactions, *self._clocks(ticks))
        dead = [*sifted_d.dead, *sifted_i.dead, *map(refused, output.refusals)]
        moved = [*sifted_d.moved, *sifted_i.moved]
        self._observation.note(output)
        idle = began - self._committed_at < self._settings.commit_ms / 1000
        if not idle or dead or moved or output.emissions:
            writes = self._writes(output, dead, moved)
            facts = self._observation.take()
            await self._written()
            self._writing = asyncio.create_task(self._write(writes, facts))
            self._committed_at = began
        count(self._metrics, self._handlers, inputs, output, dead, moved, time.perf_counter() - began)

    def _clocks(self, ticks: list[Tick]) -> tuple[int, int]:
        """Time up to which each input is known to be read whole, though nothing came."""
        clocks = [0, 0]
        for tick in ticks:
            for place, (next_offset, end) in enumerate(zip(self.next.values(), tick.ends, strict=True)):
                if next_offset >= end:
                    clocks[place] = max(clocks[place], tick.time - self._settings.clock_skew_ms)
        return clocks[0], clocks[1]

    async def _written(self) -> None:
        """Return when all that was to be written is."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    async def _write(self, writes: Writes, facts: Sequence[Fact]) -> None:
        with self._metrics.transaction_seconds.time():
            await self._writer.write(writes)
        self._observation.tell(facts)

    def _writes(self, output: Output, dead: list[Dead], moved: list[Moved]) -> Writes:
        topic = self._broker.topic
        encoded = map(self._handlers.encode, output.emissions)
        sends = [Send(topic("rewards"), self.number, keys, values) for keys, values in encoded]
        sends += [Send(topic(each.topic), each.partition, [each.key], [each.value]) for each in moved]
        if dead:
            keys, values = [record.key for record in dead], [record.value for record in dead]
            reasons = [self._reason(record) for record in dead]
            sends.append(Send(topic("dead-letters"), self.number, keys, values, reasons))
        return Writes(sends, self._watermark())

    def _reason(self, record: Dead) -> list[tuple[str, bytes]]:
        return headers(
            topic=self._broker.topic(record.topic),
            partition=self.number,
            offset=record.offset,
            reason=record.reason,
            message=record.message,
            stage=STAGE,
        )

    def _watermark(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Where a restart begins to read, and beside it how far this transaction got."""
        mark = self.join.watermark(self.next["decisions"], self.next["interactions"])
        progress = Progress(
            **self.next,
            decisions_clock=self.join.decisions_clock,
            interactions_clock=self.join.interactions_clock,
        )
        starts = {"decisions": mark.decisions, "interactions": mark.interactions}
        return {
            TopicPartition(self._broker.topic(topic), self.number): OffsetAndMetadata(
                offset, progress.to_metadata()
            )
            for topic, offset in starts.items()
        }


def joined(batches: Sequence[Records]) -> Records | None:
    """Consecutive batches of one topic and partition as one; None for none."""
    if len(batches) <= 1:
        return batches[0] if batches else None
    keys, values = concat([batch.keys for batch in batches], [batch.values for batch in batches])
    return Records(
        batches[0].topic,
        batches[0].partition,
        keys,
        values,
        np.concatenate([batch.offsets for batch in batches]),
        np.concatenate([batch.timestamps for batch in batches]),
        batches[-1].next_offset,
    )
