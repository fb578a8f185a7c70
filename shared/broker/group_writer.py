"""What a member of a group writes, together with how far its inputs are read: one transaction for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    """What came of a part of the inputs, and how far they are read."""

    sends: Sequence[Send]
    offsets: Mapping[TopicPartition, OffsetAndMetadata]


class GroupWriter:
    """One transactional id for all partitions that a worker holds: a transaction costs Kafka the same for one
    of them as for all."""

    def __init__(self, settings: BrokerSettings, service: str, instance: str | None, member: Member) -> None:
        """`instance`: name of the worker; started again under it, it ends what it has left open."""
        name = settings.transactional_id(f"{service}-{instance or uuid4().hex}")
        self._writer, self._member = TransactionalWriter(settings, name), member

    async def start(self) -> None:
        """Connect. Raises aiokafka.errors.KafkaError when Kafka cannot be reached."""
        await self._writer.start()

    async def stop(self) -> None:
        """Disconnect; may be called twice."""
        await self._writer.stop()

    async def write(self, parts: Sequence[Writes]) -> None:
        """Return when a transaction with all of it is committed.

        Raises Fenced or KafkaError, after which only the log knows what was written.
        """
        offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        async with self._writer.transaction() as transaction:
            for part in parts:
                offsets |= part.offsets
                for send in part.sends:
                    await transaction.send(
                        send.topic, send.partition, send.keys, send.values, headers=send.headers
                    )
            await transaction.offsets(self._member, offsets)
