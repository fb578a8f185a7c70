"""The worker: partitions come and go, their batches are handed over, scalings are passed on."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.online_bandit.learner.handlers import Reader
from services.online_bandit.learner.outlets import Outlet
from services.online_bandit.learner.partition import GROUP, Partition
from services.online_bandit.learner.publishing import Publisher
from services.online_bandit.learner.recovery import Recovery, TopicLog, recover
from services.online_bandit.learner.resets import TOPIC as EVENTS
from services.online_bandit.learner.resets import Resets
from services.online_bandit.learner.settings import LearnerSettings
from services.online_bandit.learner.telemetry import REWARDS, Telemetry
from shared.applications.contract import Application
from shared.broker.batches import Batch, Hooks, Partitions, create_app
from shared.broker.group_writer import GroupWriter
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics

FETCH_BYTES = 4 << 20
"""Of one partition at once: some thousands of rewards, so that the work per batch is spread over many."""
KAFKA_S = 5.0
"""How long Kafka may take to tell where the partitions end."""
WATCH_S = 0.5
"""How often lag is measured, and partitions are looked after."""


class LearnerService:
    """All partitions of the rewards that this worker holds."""

    def __init__(
        self,
        settings: LearnerSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        metrics: Metrics,
        health: Health,
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self._settings, self._broker, self._metrics = settings, broker, metrics
        self._pause_s = settings.publish_pause.total_seconds()
        self._outlet = Outlet(settings.snapshot_bytes, settings.snapshot_rate, self._pause_s)
        self._recovery = Recovery(applications, self._outlet, Reader(applications))
        self._telemetry = Telemetry(metrics)
        # One: a second would mostly wait for the interpreter, and keep whoever fetches waiting for it.
        self._threads = ThreadPoolExecutor(1, "learner")
        self._work: asyncio.Task[None] | None = None
        self._writer: GroupWriter | None = None
        self._followers: list[asyncio.Task[None]] = []
        self._resets = Resets(applications)
        self._assigned = False
        self._loop = health.loop("learner")
        health.check("partitions", lambda: None if self._assigned else "no assignment yet")
        self.app = create_app(
            GROUP,
            broker,
            commits="none",
            empty_batches=True,
            hooks=Hooks(start_offsets=self._start, revoked=self._stop),
            instance=settings.instance,
            max_partition_bytes=FETCH_BYTES,
        )
        self.app.agent(self.app.batches(broker.topic(REWARDS)), concurrency=1)(self._hand_over)
        self.app.on_rebalance_complete.connect(self._rebalanced, weak=False)

    async def watch(self) -> None:
        """Measure lag again and again; raise what stops a partition."""
        while True:
            tasks = [*([self._work] if self._work else []), *self._followers]
            if not tasks:
                await asyncio.sleep(WATCH_S)
            for task in (await asyncio.wait(tasks, timeout=WATCH_S))[0] if tasks else ():
                if not task.cancelled():
                    task.result()
            await self._measure()

    async def _hand_over(self, stream: AsyncIterator[Batch]) -> None:
        async for batch in stream:
            partition = self.partitions.get(batch.partition)
            if partition is not None:  # else revoked meanwhile: whoever has it now reads it again
                await partition.put(batch)

    async def _start(self, assigned: Partitions) -> dict[TopicPartition, int]:
        """Take over the partitions: who had them can write no more, so read what was published of them."""
        member = self.app.member()
        began = time.monotonic()
        self._writer = writer = GroupWriter(self._broker, GROUP, self._settings.instance, member)
        await writer.start()
        earliest = {tp.partition: at for tp, at in (await self.app.earliest_offsets(assigned)).items()}
        log, events = TopicLog(self._broker), TopicLog(self._broker, EVENTS)
        await log.open()
        await events.open()
        states = await recover(log, self._recovery, earliest)
        async for records in events.present():  # all of them, before anything more is learnt
            self._resets.take(records)
        self._outlet.sharing = max(1, self._recovery.large_states(len(states)))
        publisher = Publisher(self.partitions.values(), writer, self._telemetry, self._pause_s)
        for number, state in states.items():
            self.partitions[number] = Partition(
                state,
                broker=self._broker,
                telemetry=self._telemetry,
                scalings=lambda: self._recovery.scalings,
                resets=lambda: self._resets.asked,
                threads=self._threads,
                news=publisher.wake,
            )
        self._work = asyncio.create_task(_work(list(self.partitions.values()), publisher), name="partitions")
        self._followers = [
            asyncio.create_task(self._follow(log), name="scalings"),
            asyncio.create_task(self._follow_resets(events), name="resets"),
        ]
        self._metrics.partitions.labels(REWARDS).set(len(states))
        starts = {number: state.position for number, state in states.items()}
        logger(__name__).info("partitions taken over", starts=starts, seconds=time.monotonic() - began)
        return {TopicPartition(self._broker.topic(REWARDS), number): at for number, at in starts.items()}

    async def _stop(self, _revoked: Partitions) -> None:
        for follower in self._followers:
            follower.cancel()
        partitions, self.partitions = self.partitions, {}
        for partition in partitions.values():
            partition.stop()
        work, self._work = self._work, None
        try:
            if work is not None:
                await work
        finally:
            writer, self._writer = self._writer, None
            if writer is not None:
                await writer.stop()

    async def _follow(self, log: TopicLog) -> None:
        """Pass on the scalings that the owner of partition 0 publishes, until no policy waits for one."""
        try:
            while any(partition.state.lacking for partition in self.partitions.values()):
                self._recovery.follow(await log.more())
                for partition in self.partitions.values():
                    partition.wake()
        finally:
            await log.close()

    async def _follow_resets(self, events: TopicLog) -> None:
        """Pass on what somebody asks for from now on."""
        try:
            while True:
                if self._resets.take(await events.more()):
                    for partition in self.partitions.values():
                        partition.wake()
        finally:
            await events.close()

    async def _measure(self) -> None:
        held = {TopicPartition(self._broker.topic(REWARDS), n): p for n, p in self.partitions.items()}
        if not held:
            self._loop.observe(0)
            return
        try:
            async with asyncio.timeout(KAFKA_S):
                ends = await self.app.end_offsets(held)
        except (KafkaError, TimeoutError) as error:
            logger(__name__).warning("lag cannot be measured", why=f"{type(error).__name__}: {error}")
            self._loop.beat()  # without Kafka there is nothing to get ahead with
            return
        lag = 0
        for tp, partition in held.items():
            behind = max(0, ends.get(tp, 0) - partition.state.position)
            labels = (REWARDS, str(tp.partition))
            self._metrics.lag_records.labels(*labels).set(behind)
            self._metrics.lag_seconds.labels(*labels).set(partition.age_s(time.time()) if behind else 0.0)
            lag += behind
        self._loop.observe(lag, [partition.state.position for partition in held.values()])

    async def _rebalanced(self, *_: object, **__: object) -> None:
        self._assigned = True
        self._metrics.rebalances.inc()


async def _work(partitions: Sequence[Partition], publisher: Publisher) -> None:
    """Learn and publish until every partition is told to stop."""
    async with asyncio.TaskGroup() as publishing:
        publishing.create_task(publisher.run(), name="publisher")
        async with asyncio.TaskGroup() as learning:
            for partition in partitions:
                learning.create_task(partition.run(), name=f"partition {partition.state.partition}")
        publisher.stop()
