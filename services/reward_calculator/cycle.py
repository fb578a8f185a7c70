"""The steps of all partitions of a worker, taken together: read, join, write all in one transaction."""

import asyncio
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from services.reward_calculator.handlers import Dead, Handlers, Moved, refused
from services.reward_calculator.observing import Fact, Observation
from services.reward_calculator.partition import STAGE, Partition, Turn
from services.reward_calculator.settings import Settings
from services.reward_calculator.steps import Step, count
from shared.broker.dead_letters import headers
from shared.broker.group_writer import GroupWriter, Send, Writes
from shared.broker.settings import BrokerSettings
from shared.core.join import Output
from shared.telemetry.metrics import Metrics

LARGE_BYTES = 1 << 20
"""With so much waiting the next step is made while the last one's transaction is under way; with less, all
that has come by its end is one step, since small steps cost nearly as much as larger ones."""


class Cycle:
    """Everything that a step decides is written in one transaction with the low watermarks that a restart
    reads from. A transaction that fails ends the process: the log is the state, memory is a copy of it.
    """

    def __init__(
        self,
        partitions: Collection[Partition],
        *,
        handlers: Handlers,
        writer: GroupWriter,
        broker: BrokerSettings,
        settings: Settings,
        metrics: Metrics,
        observation: Observation,
    ) -> None:
        self._partitions = partitions
        self._handlers, self._writer, self._broker = handlers, writer, broker
        self._metrics, self._observation = metrics, observation
        self._pace_s, self._commit_s = settings.pace_ms / 1000, settings.commit_ms / 1000
        self._news = asyncio.Event()
        self._began = self._committed_at = 0.0
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "steps")

    def wake(self) -> None:
        """A partition may have something to do."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled. Whatever it raises must end the process."""
        try:
            while True:
                await self._news.wait()
                large = sum(each.inbox.bytes for each in self._partitions) >= LARGE_BYTES
                if not large:
                    await self._written()
                    await asyncio.sleep(self._began + self._pace_s - time.monotonic())
                self._news.clear()
                turns = [each.take() for each in self._partitions if each.waiting]
                if turns:
                    await self._step(turns, large)
                if any(each.waiting for each in self._partitions):
                    self.wake()
        finally:
            if self._writing is not None:
                self._writing.cancel()
            self._thread.shutdown(wait=False)

    async def _step(self, turns: Sequence[Turn], large: bool) -> None:
        if large:  # the event loop has a transaction to see through meanwhile
            step = await asyncio.get_running_loop().run_in_executor(self._thread, self._joined, turns)
        else:
            step = self._joined(turns)
        for output in step.outputs.values():
            self._observation.note(output)
        if step.sends or time.monotonic() - self._committed_at >= self._commit_s:
            facts = self._observation.take()
            await self._written()
            self._began = self._committed_at = time.monotonic()
            self._writing = asyncio.create_task(self._commit(Writes(step.sends, step.offsets), facts))
        count(self._metrics, self._handlers, step)

    def _joined(self, turns: Sequence[Turn]) -> Step:
        began = time.perf_counter()
        batches = [batch for turn in turns for batch in turn.batches]
        inputs = {topic: [b for b in batches if b.topic == topic] for topic in ("decisions", "interactions")}
        decisions, sifted_d = self._handlers.decisions(inputs["decisions"])
        interactions, sifted_i = self._handlers.interactions(inputs["interactions"])
        outputs: dict[int, Output] = {}
        for turn in turns:
            number = turn.partition.number
            outputs[number] = turn.partition.step(decisions.get(number), interactions.get(number), turn)
        dead = [*sifted_d.dead, *sifted_i.dead, *_refusals(outputs)]
        moved = [*sifted_d.moved, *sifted_i.moved]
        return Step(
            records={topic: sum(map(len, some)) for topic, some in inputs.items()},
            outputs=outputs,
            dead=dead,
            moved=moved,
            sends=list(self._sends(outputs, dead, moved)),
            offsets={tp: offset for turn in turns for tp, offset in turn.partition.watermark().items()},
            seconds=time.perf_counter() - began,
        )

    async def _written(self) -> None:
        """Return when all that was to be written is."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    async def _commit(self, writes: Writes, facts: Sequence[Fact]) -> None:
        with self._metrics.transaction_seconds.time():
            await self._writer.write([writes])
        self._observation.tell(facts)

    def _sends(self, outputs: dict[int, Output], dead: list[Dead], moved: list[Moved]) -> Iterator[Send]:
        topic = self._broker.topic
        emissions = [(number, each) for number, output in outputs.items() for each in output.emissions]
        for number, ids, rewards in self._handlers.encode(emissions):
            yield Send(topic("rewards"), number, ids, rewards)
        for astray in moved:
            yield Send(topic(astray.topic), astray.partition, [astray.key], [astray.value])
        for number in sorted({each.partition for each in dead}):
            own = [each for each in dead if each.partition == number]
            keys, values = [each.key for each in own], [each.value for each in own]
            yield Send(topic("dead-letters"), number, keys, values, [self._reason(each) for each in own])

    def _reason(self, record: Dead) -> list[tuple[str, bytes]]:
        return headers(
            topic=self._broker.topic(record.topic),
            partition=record.partition,
            offset=record.offset,
            reason=record.reason,
            message=record.message,
            stage=STAGE,
        )


def _refusals(outputs: dict[int, Output]) -> Iterator[Dead]:
    for number, output in outputs.items():
        yield from (refused(refusal, number) for refusal in output.refusals)
