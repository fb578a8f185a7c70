"""A topic of one partition, read from its start and then followed for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

POLL_MS = 200
"""How long one fetch waits for news; also how often the loop shows that it lives."""
MOST_RECORDS = 200
"""Records taken at once, for the loop to show soon that it lives."""
FETCH_BYTES = 4 << 20
"""What one fetch may hold: a large model passes through memory in pieces."""
CONNECT_S = 10.0
"""How long Kafka may take to say where the log ends; after that it counts as away."""
QUIET_POLLS = 10
"""Fetches without news after which the log's end is reached: what is left are transactions' markers."""
RETRY_S = 1.0

#: Takes the next records of the log, in its order.
Take = Callable[[Sequence[Any]], Awaitable[None]]
#: Everything that is there has been taken.
Settle = Callable[[], Awaitable[None]]


class Follower:
    """Hands records on: `take` gets every batch, `settle` is called whenever the log's end is reached.

    Whenever the connection is made anew, the log is read from its start again.
    """

    def __init__(
        self, topic: str, broker: BrokerSettings, health: Health, take: Take, settle: Settle
    ) -> None:
        self._topic, self._broker, self._take, self._settle = topic, broker, take, settle
        self.caught_up = asyncio.Event()
        """All that the topic held at the start has been taken and settled."""
        self.unreachable = asyncio.Event()
        """Kafka did not answer at the start."""
        self._loop = health.loop(topic)
        health.check(topic, self._hindrance)

    async def started(self, wait_s: float) -> None:
        """Return when the log has been read once, or Kafka is away, or after `wait_s`."""
        events = [asyncio.ensure_future(event.wait()) for event in (self.caught_up, self.unreachable)]
        await asyncio.wait(events, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()

    async def run(self) -> None:
        """Until cancelled."""
        partition = TopicPartition(self._broker.topic(self._topic), 0)
        while True:
            consumer = AIOKafkaConsumer(
                **self._broker.aiokafka(),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            try:
                async with asyncio.timeout(CONNECT_S):
                    await consumer.start()
                    end = (await consumer.end_offsets([partition]))[partition]
                consumer.assign([partition])
                await self._follow(consumer, partition, end)
            except (KafkaError, OSError) as error:
                self._loop.beat()
                self.unreachable.set()
                logger(__name__).info(
                    "log cannot be followed", topic=self._topic, why=f"{type(error).__name__}: {error}"
                )
                await asyncio.sleep(RETRY_S)
            finally:
                await consumer.stop()

    async def _follow(self, consumer: Any, partition: TopicPartition, end: int) -> None:
        quiet = 0
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            self._loop.beat()
            records = [record for part in fetched.values() for record in part]
            if records:
                await self._take(records)
            quiet = 0 if records else quiet + 1
            if (
                not self.caught_up.is_set()
                and quiet < QUIET_POLLS
                and await consumer.position(partition) < end
            ):
                continue
            await self._settle()
            self.caught_up.set()

    def _hindrance(self) -> str | None:
        if self.caught_up.is_set() or self.unreachable.is_set():
            return None
        return f"{self._topic} is being read"
