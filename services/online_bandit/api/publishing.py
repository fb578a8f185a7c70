"""Durable before the reply: in Kafka, or on disk while Kafka is away."""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from services.online_bandit.api.segments import Record
from services.online_bandit.api.spool import Spool
from shared.broker.limits import Headers
from shared.broker.producers import Unavailable
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics

LAST = 200
"""Records of the spool during whose publication new ones wait: some milliseconds."""


class Producer(Protocol):
    """What publishing needs of Kafka; `shared.broker.producers.BatchProducer` has it."""

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers = ()) -> object:
        """Return once all in-sync replicas have the record. Raises BufferFull or Unavailable."""

    async def send_many(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Headers = ()
    ) -> object:
        """The same for several records."""


class Publisher:
    """Kafka, until it does not acknowledge once; then the spool, until all of that is in Kafka.

    A record whose fate in Kafka is unknown goes to the spool with the very same bytes: the join drops
    copies. So does everything after it, hence an activation never overtakes its decision.
    """

    def __init__(self, producer: Producer, spool: Spool, metrics: Metrics, retry_s: float) -> None:
        self._producer, self._spool, self._metrics, self._retry_s = producer, spool, metrics, retry_s
        self.spooling = False
        """Whether Kafka is away, or the spool is not yet empty."""
        self._gate = asyncio.Event()
        self._gate.set()
        self._drainer: asyncio.Task[None] | None = None
        metrics.spool_records.set_function(lambda: spool.records)
        metrics.spool_bytes.set_function(lambda: spool.bytes)

    async def start(self) -> None:
        """Publish what an earlier process left on disk."""
        if self._spool.records:
            self._give_way("left by an earlier process")

    async def stop(self) -> None:
        """Leave on disk what is there."""
        if self._drainer is not None:
            self._drainer.cancel()
            await asyncio.gather(self._drainer, return_exceptions=True)

    async def publish(self, record: Record) -> None:
        """Return once the record is durable.

        Raises BufferFull, SpoolFull and OSError: the record is then not written, or only perhaps.
        """
        await self._gate.wait()
        if not self.spooling:
            try:
                await self._producer.send(*record)
                return
            except Unavailable as error:
                self._refused(1, str(error))
        await self._spool.append([record])

    async def publish_many(self, records: Sequence[Record]) -> None:
        """The same for records of one topic, with the same headers."""
        await self._gate.wait()
        if not self.spooling:
            try:
                await self._send(records)
                return
            except Unavailable as error:
                self._refused(len(records), str(error))
        await self._spool.append(records)

    async def _send(self, records: Sequence[Record]) -> None:
        first = records[0]
        pairs = [(record.key, record.value) for record in records]
        await self._producer.send_many(first.topic, pairs, first.headers)

    def _refused(self, count: int, why: str) -> None:
        self._metrics.events_unavailable.labels("decisions", "unavailable").inc(count)
        if not self.spooling:
            self._give_way(why)

    def _give_way(self, why: str) -> None:
        self.spooling = True
        self._drainer = asyncio.create_task(self._drain(), name="drain")
        logger(__name__).warning("decisions go to the spool", why=why)

    async def _drain(self) -> None:
        emptied = False
        while not emptied:
            # Before the first attempt too: whoever was refused has not reached the spool yet.
            await asyncio.sleep(self._retry_s)
            emptied = await self._emptied()
        logger(__name__).warning("the spool is empty; decisions go to Kafka")

    async def _emptied(self) -> bool:
        try:
            await self._spool.drain(self._replay, leave=LAST)
            # Or requests would refill the spool as fast as it empties, for ever.
            self._gate.clear()
            await self._spool.drain(self._replay)
            self.spooling = False
        except Exception as error:  # any failure means: not yet
            logger(__name__).info("the spool waits", records=self._spool.records, why=str(error))
            return False
        finally:
            self._gate.set()
        return True

    async def _replay(self, records: Sequence[Record]) -> None:
        for _, run in groupby(records, key=lambda record: (record.topic, tuple(record.headers))):
            await self._send(list(run))
