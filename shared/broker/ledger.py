"""What a service with one leader writes: records and the offsets of what caused them, in one transaction.

The transactional id is one for all processes of a service: who starts it fences whoever had it before, so
what is read of the service's topics afterwards is all that there will ever be of others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

from shared.broker.settings import BrokerSettings

POLL_MS = 200
JOIN_MS = 1_000
TIMEOUT_MS = 60_000
"""After so long without an end the broker aborts a transaction."""


class LedgerBroken(RuntimeError):
    """A transaction failed, and it is not known whether it was committed: take over again, and read."""


@dataclass(frozen=True)
class Outgoing:
    """A record to write; `topic` without prefix."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0


class Ledger:
    """One transactional producer. Raises kafka.errors.KafkaError if Kafka does not answer."""

    def __init__(self, broker: BrokerSettings, service: str) -> None:
        self._broker = broker
        self._producer = KafkaProducer(
            **broker.kafka_python(),
            acks="all",
            transactional_id=broker.transactional_id(service),
            transaction_timeout_ms=TIMEOUT_MS,
        )
        self._producer.init_transactions()

    def write(
        self,
        records: Sequence[Outgoing],
        positions: Mapping[TopicPartition, int] | None = None,
        member: Any = None,
    ) -> None:
        """All of it or nothing; `positions` are committed for the group that `member` belongs to.

        Raises LedgerBroken.
        """
        try:
            self._producer.begin_transaction()
            sent = [self._send(each) for each in records]
            for each in sent:
                each.get(timeout=TIMEOUT_MS / 1000)
            if positions:
                offsets = {where: OffsetAndMetadata(next_, "", -1) for where, next_ in positions.items()}
                self._producer.send_offsets_to_transaction(offsets, member)
            self._producer.commit_transaction()
        except KafkaError as error:
            raise LedgerBroken(f"{type(error).__name__} {error}") from error

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(self._producer.partitions_for(self._broker.topic(topic)))

    def close(self) -> None:
        """Disconnect; an open transaction is aborted by whoever takes over."""
        self._producer.close(timeout=POLL_MS / 1000)

    def _send(self, record: Outgoing) -> Any:
        return self._producer.send(
            self._broker.topic(record.topic),
            record.value,
            key=record.key,
            headers=list(record.headers),
            partition=record.partition,
        )


class Changes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes that partitions were given or taken; it is called from Kafka's own thread."""

    def __init__(self) -> None:
        self._changes = self._seen = 0

    def on_partitions_revoked(self, revoked: object) -> None:
        """Called before a rebalance."""
        self._changes += 1

    def on_partitions_assigned(self, assigned: object) -> None:
        """Called after it."""
        self._changes += 1

    def changed(self) -> bool:
        """Whether anything has changed since the last call."""
        changes, before, self._seen = self._changes, self._seen, self._changes
        return changes != before


def join(consumer: Any, topics: Sequence[str], listener: Changes) -> None:
    """Subscribe a member of a group to topics of these full names.

    A member that gives out partitions before it knows of them gives out none, and does not notice later.
    Raises kafka.errors.KafkaError if the cluster knows no such topic yet.
    """
    for topic in topics:
        if not consumer.partitions_for_topic(topic):
            raise UnknownTopicOrPartitionError(topic)
    consumer.subscribe(list(topics), listener=listener)


def poll(consumer: Any, timeout_ms: int) -> Mapping[Any, Sequence[Any]]:
    """What a member's `poll` gives: new records by partition.

    kafka-python 3.0.12 loses what it joins between two polls: where new metadata made it join again, it
    forgets that it was joining, and where it knows, it joins anew. Then nothing is fetched any more, and
    nobody notices. So it is reminded, and while it joins a poll may take JOIN_MS.
    """
    coordinator = consumer._coordinator
    if coordinator.rejoining:
        if not coordinator.need_rejoin():
            coordinator.request_rejoin()
        timeout_ms = max(timeout_ms, JOIN_MS)
    polled: Mapping[Any, Sequence[Any]] = consumer.poll(timeout_ms=timeout_ms)
    return polled


def read_all(
    broker: BrokerSettings, topic: str, partition: int = 0, start: int | None = None
) -> Iterator[Any]:
    """Every committed record of a partition from offset `start` (None: the first there is) up to its present
    end, in log order.

    Raises kafka.errors.KafkaError.
    """
    consumer = KafkaConsumer(
        **broker.kafka_python(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    where = TopicPartition(broker.topic(topic), partition)
    try:
        consumer.assign([where])
        end = consumer.end_offsets([where])[where]
        if start is not None:
            consumer.seek(where, start)
        while consumer.position(where) < end:
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                yield from records
    finally:
        consumer.close()
