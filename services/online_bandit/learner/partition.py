"""One partition of the rewards at work."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.online_bandit.learner.partition_state import Dead, PartitionState, Publication
from services.online_bandit.learner.resets import Asked
from services.online_bandit.learner.telemetry import DEAD_LETTERS, REWARDS, UPDATES, Telemetry
from shared.broker.batches import Batch, joined
from shared.broker.dead_letters import headers
from shared.broker.group_writer import Send, Writes
from shared.broker.inbox import Inbox
from shared.broker.settings import BrokerSettings
from shared.core.features.scaling import Scaling
from shared.wire.policy_replicas import Name

GROUP = STAGE = "online-bandit-learner"
INBOX_BYTES = 16 << 20
"""What may wait for a partition before its records are left in Kafka."""
JOINED_BYTES = 256 << 10
"""Small batches are learnt as one, up to this size."""
UNPUBLISHED_RECORDS = 200_000
"""Records learnt while a publication is under way, beyond which the next one is waited for."""
IDLE_S = 1.0
"""How often a partition without news looks whether it lacks something."""

T = TypeVar("T")
Scalings = Callable[[], Mapping[Name, Scaling]]


class Partition:
    """State and inbox of one partition."""

    def __init__(
        self,
        state: PartitionState,
        *,
        broker: BrokerSettings,
        telemetry: Telemetry,
        scalings: Scalings,
        resets: Callable[[], Asked],
        threads: Executor,
        news: Callable[[], None],
    ) -> None:
        """`news` is called whenever there is something to publish."""
        self.state = state
        self.inbox: Inbox[Batch] = Inbox(INBOX_BYTES)
        self._broker, self._telemetry, self._scalings = broker, telemetry, scalings
        self._threads, self._news = threads, news
        self._resets = resets
        self._reset: Asked = {}
        self._newest_ms = 0
        self._unpublished = 0
        self._taken = asyncio.Event()
        self._stopping = False
        self._woken = asyncio.Event()

    async def put(self, batch: Batch) -> None:
        """Hand over the next batch; waits while the inbox is full."""
        await self.inbox.put(batch, batch.size)
        self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def stop(self) -> None:
        """End `run` soon; what waits in the inbox is left to the next owner."""
        self._stopping = True
        self.wake()

    def age_s(self, now_s: float) -> float:
        """How long ago the newest record that was learnt had been appended, by clocks since 1970."""
        return max(0.0, now_s - self._newest_ms / 1000) if self._newest_ms else 0.0

    async def run(self) -> None:
        """Learn until `stop`."""
        while not self._stopping:
            batch = await self._next()
            if (asked := self._resets()) is not self._reset:
                await self._compute(partial(self.state.reset, asked))
                self._reset = asked
            if batch is not None:
                await self._learn(batch)
            if self.state.lacking:
                await self._compute(lambda: self.state.adopt(self._scalings()))
            if self.state.dirty:
                self._news()
        self.inbox.take()  # nobody shall wait for room

    async def publication(self, now_s: float) -> Publication | None:
        """All there is to tell at `now_s` (monotonic clock), None for nothing."""
        self._unpublished = 0
        self._taken.set()
        return await self._compute(lambda: self.state.publication(now_s))

    def writes(self, publication: Publication) -> Writes:
        """The publication's records, and up to where the rewards are read."""
        rewards = TopicPartition(self._broker.topic(REWARDS), self.state.partition)
        keys, values = zip(*publication.updates, strict=True)
        sends = [Send(self._broker.topic(UPDATES), 0, keys, values)]
        if dead := publication.dead:
            letters, reasons = [(d.key, d.value) for d in dead], [self._reason(d) for d in dead]
            keys, values = zip(*letters, strict=True)
            sends.append(Send(self._broker.topic(DEAD_LETTERS), rewards.partition, keys, values, reasons))
        return Writes(sends, {rewards: OffsetAndMetadata(publication.position, "")})

    async def _next(self) -> Batch | None:
        """The next batch, or None when there may be something else to do."""
        if not len(self.inbox):
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._woken.wait()
        self._woken.clear()
        batches = self.inbox.take(JOINED_BYTES)
        return joined(batches) if batches else None

    async def _learn(self, batch: Batch) -> None:
        began = time.perf_counter()
        before = self.state.passed_over
        taught = await self._compute(lambda: self.state.learn(batch))
        self._telemetry.learnt(len(batch), time.perf_counter() - began, taught)
        self._telemetry.passed_over(self.state.passed_over - before)
        self._newest_ms = int(batch.timestamps[-1]) if len(batch) else self._newest_ms
        self._unpublished += len(batch)
        if self._unpublished > UNPUBLISHED_RECORDS:
            self._taken.clear()
            self._news()
            await self._taken.wait()

    def _reason(self, dead: Dead) -> list[tuple[str, bytes]]:
        return headers(
            topic=self._broker.topic(REWARDS),
            partition=self.state.partition,
            offset=dead.offset,
            reason=dead.reason,
            message=dead.message,
            stage=STAGE,
        )

    async def _compute(self, work: Callable[[], T]) -> T:
        """Off the event loop, which has heartbeats to send."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
