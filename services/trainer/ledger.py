"""What the trainer writes: answers, dead letters and the offset of its requests, in one transaction.

The transactional id is one for all trainers of a cluster: who starts it fences whoever had it before, so what
is read of `candidates` afterwards is all that there will ever be of others.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from shared.broker import dead_letters
from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.wire.codec import WireError
from shared.wire.training import Candidate, read_candidate

GROUP = "trainer"
TRIGGERS, CANDIDATES, DEAD_LETTERS = "retrain-triggers", "candidates", "dead-letters"
POLL_MS = 200
TIMEOUT_MS = 60_000
"""After so long without an end the broker aborts a transaction."""


class LedgerBroken(RuntimeError):
    """A transaction failed, and it is not known whether it was committed: take over again, and read."""


@dataclass(frozen=True)
class DeadTrigger:
    """A record that is no request."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    message: str


class Ledger:
    """One transactional producer. Raises kafka.errors.KafkaError if Kafka does not answer."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker
        self._producer = KafkaProducer(
            **broker.kafka_python(),
            acks="all",
            transactional_id=broker.transactional_id(GROUP),
            transaction_timeout_ms=TIMEOUT_MS,
        )
        self._producer.init_transactions()

    def write(
        self,
        candidates: Sequence[Candidate] = (),
        dead: Sequence[DeadTrigger] = (),
        position: int | None = None,
        member: Any = None,
    ) -> None:
        """All of it or nothing; `position` is committed for the group that `member` belongs to.

        Raises LedgerBroken.
        """
        try:
            self._producer.begin_transaction()
            sent = [self._send_candidate(each) for each in candidates]
            sent += [self._send_dead(each) for each in dead]
            for each in sent:
                each.get(timeout=TIMEOUT_MS / 1000)
            if position is not None:
                where = TopicPartition(self._broker.topic(TRIGGERS), 0)
                self._producer.send_offsets_to_transaction(
                    {where: OffsetAndMetadata(position, "", -1)}, member
                )
            self._producer.commit_transaction()
        except KafkaError as error:
            raise LedgerBroken(f"{type(error).__name__} {error}") from error

    def close(self) -> None:
        """Disconnect; an open transaction is aborted by whoever takes over."""
        self._producer.close(timeout=POLL_MS / 1000)

    def _send_candidate(self, candidate: Candidate) -> Any:
        key = candidate.application.encode()
        return self._producer.send(self._broker.topic(CANDIDATES), candidate.encode(), key=key, partition=0)

    def _send_dead(self, dead: DeadTrigger) -> Any:
        topic = self._broker.topic(DEAD_LETTERS)
        headers = dead_letters.headers(
            topic=self._broker.topic(TRIGGERS),
            partition=0,
            offset=dead.offset,
            reason=dead.reason,
            message=dead.message,
            stage="trainer",
        )
        partition = partition_for(dead.key or b"", len(self._producer.partitions_for(topic)))
        return self._producer.send(topic, dead.value, key=dead.key, headers=headers, partition=partition)


def read_candidates(broker: BrokerSettings) -> list[Candidate]:
    """Every record of `candidates`, in log order; what others wrote that is none is left out, and logged.

    Raises kafka.errors.KafkaError.
    """
    consumer = KafkaConsumer(
        **broker.kafka_python(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    where = TopicPartition(broker.topic(CANDIDATES), 0)
    found = []
    try:
        consumer.assign([where])
        end = consumer.end_offsets([where])[where]
        while consumer.position(where) < end:
            for record in _flat(consumer.poll(timeout_ms=POLL_MS)):
                try:
                    found.append(read_candidate(record.value))
                except WireError as error:
                    log = logging.getLogger(__name__)
                    log.warning("offset %d of %s: %s", record.offset, where.topic, error)
    finally:
        consumer.close()
    return found


def _flat(polled: Mapping[Any, Sequence[Any]]) -> list[Any]:
    return [record for records in polled.values() for record in records]
