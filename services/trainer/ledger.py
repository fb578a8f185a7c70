"""What the trainer writes: answers, dead letters and the offset of its requests, in one transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

from shared.broker import dead_letters, ledger
from shared.broker.ledger import LedgerBroken, Outgoing, read_all
from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.wire.codec import WireError
from shared.wire.training import Candidate, read_candidate

__all__ = ["CANDIDATES", "GROUP", "TRIGGERS", "DeadTrigger", "Ledger", "LedgerBroken", "read_candidates"]

GROUP = "trainer"
TRIGGERS, CANDIDATES, DEAD_LETTERS = "retrain-triggers", "candidates", "dead-letters"


@dataclass(frozen=True)
class DeadTrigger:
    """A record that is no request."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    message: str


class Ledger:
    """All trainers of a cluster have one. Raises kafka.errors.KafkaError if Kafka does not answer."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker
        self._ledger = ledger.Ledger(broker, GROUP)

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
        records = [Outgoing(CANDIDATES, each.application.encode(), each.encode()) for each in candidates]
        records += [self._dead(each) for each in dead]
        where = TopicPartition(self._broker.topic(TRIGGERS), 0)
        self._ledger.write(records, None if position is None else {where: position}, member)

    def close(self) -> None:
        """Disconnect; an open transaction is aborted by whoever takes over."""
        self._ledger.close()

    def _dead(self, dead: DeadTrigger) -> Outgoing:
        headers = dead_letters.headers(
            topic=self._broker.topic(TRIGGERS),
            partition=0,
            offset=dead.offset,
            reason=dead.reason,
            message=dead.message,
            stage="trainer",
        )
        partition = partition_for(dead.key or b"", self._ledger.partitions(DEAD_LETTERS))
        return Outgoing(DEAD_LETTERS, dead.key, dead.value, headers, partition)


def read_candidates(broker: BrokerSettings) -> list[Candidate]:
    """Every record of `candidates`, in log order; what others wrote that is none is left out, and logged.

    Raises kafka.errors.KafkaError.
    """
    found = []
    for record in read_all(broker, CANDIDATES):
        try:
            found.append(read_candidate(record.value))
        except WireError as error:
            log = logging.getLogger(__name__)
            log.warning("offset %d of %s: %s", record.offset, CANDIDATES, error)
    return found
