"""Transactions that several partitions share: one costs Kafka the same for one partition as for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from shared.broker.group_protocol import Member
from shared.broker.limits import Headers
from shared.broker.settings import BrokerSettings
from shared.broker.transactions import TransactionalWriter


@dataclass(frozen=True)
class Send:
    """n records for one partition, in order."""

    topic: str
    """Full name."""
    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers] | None = None


@dataclass(frozen=True)
class Writes:
    """What is written together, and with it how far its inputs are read."""

    sends: Sequence[Send]
    offsets: Mapping[TopicPartition, OffsetAndMetadata]


@dataclass(frozen=True, eq=False)
class _Waiting:
    writes: Writes
    written: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GatheringWriter:
    """Writes for a member of a group, in transactions that begin at least `pace_s` apart: what is handed over
    while one is under way goes into the next, all of it together."""

    def __init__(self, settings: BrokerSettings, service: str, instance: str | None, pace_s: float) -> None:
        """`instance`: name of the worker; started again under it, it ends what it has left open."""
        name = settings.transactional_id(f"{service}-{instance or uuid4().hex}")
        self._writer, self._pace_s = TransactionalWriter(settings, name), pace_s
        self._waiting: list[_Waiting] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, member: Member) -> None:
        """Connect. Raises aiokafka.errors.KafkaError when Kafka cannot be reached."""
        await self._writer.start()
        self._task = asyncio.create_task(self._run(member), name="transactions")

    async def stop(self) -> None:
        """Break off what is under way, and disconnect; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._writer.stop()

    async def write(self, writes: Writes) -> None:
        """Return when a transaction with all of it is committed.

        Raises what the transaction raised, Fenced or KafkaError among it, after which only the log knows
        what was written; so does every later call.
        """
        assert self._task is not None, "the writer is not started"
        if self._task.done():
            self._task.result()
        waiting = _Waiting(writes)
        self._waiting.append(waiting)
        self._news.set()
        await waiting.written

    async def _run(self, member: Member) -> None:
        try:
            while True:
                await self._news.wait()
                began = time.monotonic()
                self._news.clear()
                gathered, self._waiting = self._waiting, []
                await self._commit(member, [each.writes for each in gathered])
                for each in gathered:
                    if not each.written.done():
                        each.written.set_result(None)
                gathered = []
                await asyncio.sleep(began + self._pace_s - time.monotonic())
        except Exception as error:
            for each in gathered + self._waiting:
                if not each.written.done():
                    each.written.set_exception(error)
            raise

    async def _commit(self, member: Member, gathered: Sequence[Writes]) -> None:
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        async with self._writer.transaction() as transaction:
            for writes in gathered:
                offsets |= writes.offsets
                for send in writes.sends:
                    await transaction.send(
                        send.topic, send.partition, send.keys, send.values, headers=send.headers
                    )
            await transaction.offsets(member, offsets)
