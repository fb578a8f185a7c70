"""Transactional writers: everything sent inside a transaction is seen together, or not at all.

Who may commit offsets is told by the group (KIP-447): a member that has been replaced is refused, and with
its offsets all that it has written. So a worker needs one writer, for all partitions that it holds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import CoordinationType
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from aiokafka.producer.sender import Sender, TxnOffsetCommitHandler
from aiokafka.structs import OffsetAndMetadata

from shared.broker.closing import close, retrieve
from shared.broker.group_protocol import (
    FENCED_INSTANCE_ID,
    ILLEGAL_GENERATION,
    UNKNOWN_MEMBER_ID,
    Member,
    TxnOffsetCommit,
)
from shared.broker.limits import MAX_BATCH_BYTES, MAX_RECORD_BYTES, Headers, RecordTooLarge, record_size
from shared.broker.settings import BrokerSettings

TRANSACTION_TIMEOUT_MS = 15_000
"""After so long without an end the broker aborts a transaction, and readers go on: those of a worker that
was killed, and does not come back under its name."""
REPLACED = {ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID}
"""What a group answers somebody whose place another has."""

RETRY_MS = 10
"""Between attempts. A transaction waits until the broker has ended the one before, about as long as this."""

STOP_S = 5.0
"""How long closing waits for what is under way when Kafka does not answer."""


class Fenced(RuntimeError):
    """Another process has taken over this transactional id, or this member's place in its group; nothing of
    the transaction was written."""


class Transaction:
    """What may be done between beginning and commit; see `TransactionalWriter.transaction`."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._deliveries: list[asyncio.Future[Any]] = []

    async def send(
        self,
        topic: str,
        partition: int,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None = None,
    ) -> None:
        """Write n records to one partition, in order, in as many batches as they need.

        `topic` is the full name; `headers` holds n sequences. Raises RecordTooLarge, after which the
        transaction must be left.
        """
        batch = self._producer.create_batch()
        for n, (key, value) in enumerate(zip(keys, values, strict=True)):
            carried = list(headers[n]) if headers is not None else []
            size = record_size(key, value, carried)
            if size > MAX_RECORD_BYTES:
                raise RecordTooLarge(f"a record of {size:,} bytes for {topic} fits no topic")
            if batch.append(key=key, value=value, timestamp=None, headers=carried) is None:
                await self._ship(batch, topic, partition)
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=carried)
        if batch.record_count():
            await self._ship(batch, topic, partition)

    async def offsets(self, member: Member, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit offsets of a member's group with the transaction.

        What was sent is waited for: a broker that verifies a batch while offsets are being added refuses it,
        and the batch is tried again later.
        """
        await self._delivered()
        self._producer._sender.member = member
        await self._producer.send_offsets_to_transaction(dict(offsets), member.group)

    async def _ship(self, batch: Any, topic: str, partition: int) -> None:
        batch.close()
        delivery = await self._producer.send_batch(batch, topic, partition=partition)
        delivery.add_done_callback(retrieve)  # a block that raises does not come to wait for it
        self._deliveries.append(delivery)

    async def _delivered(self) -> None:
        deliveries, self._deliveries = self._deliveries, []
        for delivery in deliveries:
            await delivery


class _Sender(Sender):  # type: ignore[misc]
    """aiokafka's, that tells the group who commits."""

    member: Member

    async def _do_txn_offset_commit(self, offsets: Mapping[TopicPartition, Any], group_id: str) -> None:
        if offsets:
            node = await self._find_coordinator(CoordinationType.GROUP, group_id)
            await _OffsetCommit(self, offsets, group_id).do(node)


class _OffsetCommit(TxnOffsetCommitHandler):  # type: ignore[misc]
    def create_request(self) -> TxnOffsetCommit:
        manager = self._sender._txn_manager
        topics: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for tp, at in sorted(self._offsets.items()):
            topics[tp.topic].append((tp.partition, at.offset, at.metadata))
        producer = manager.producer_id, manager.producer_epoch
        return TxnOffsetCommit(manager.transactional_id, producer, self._sender.member, list(topics.items()))

    def handle_response(self, resp: Any) -> Any:
        errors = [(name, [row[:2] for row in partitions]) for name, partitions, _ in resp.topics]
        if any(code in REPLACED for _, partitions in errors for _, code in partitions):
            raise ProducerFenced
        return super().handle_response(SimpleNamespace(errors=errors))


class TransactionalWriter:
    """A producer with a transactional id of its own. Starting it fences, and ends the transaction of,
    whoever had the id before."""

    def __init__(self, settings: BrokerSettings, transactional_id: str) -> None:
        self._settings, self._id = settings, transactional_id
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect and take over the id. Raises aiokafka.errors.KafkaError when Kafka cannot be reached."""
        producer = AIOKafkaProducer(
            **self._settings.aiokafka(),
            transactional_id=self._id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=MAX_BATCH_BYTES,
            retry_backoff_ms=RETRY_MS,
        )
        try:
            await producer.start()
        except BaseException:
            await close(producer, STOP_S)
            raise
        producer._sender.__class__ = _Sender
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect; may be called twice."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close(producer, STOP_S)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin; commit at the end of the block, abort if it raises. Raises Fenced.

        Whatever is raised, the caller cannot know whether the commit took place: it must read the log again.
        """
        assert self._producer is not None, "the writer is not started"
        try:
            async with self._producer.transaction():
                transaction = Transaction(self._producer)
                yield transaction
                await transaction._delivered()
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise Fenced(f"{self._id}: another process has this id, or this place in the group") from error
