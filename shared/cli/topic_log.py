"""Topics read from their beginning to where they end now, one partition at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from numpy.typing import NDArray

from shared.broker.settings import BrokerSettings

BATCH = 20_000
"""The most records that are in memory at once, besides what the reader keeps of them."""
POLL_MS = 500
FETCH_BYTES = 8 << 20
ANSWER_MS = 5_000
"""How long to wait for a cluster that may not be there."""


@dataclass(frozen=True, eq=False)
class Records:
    """Consecutive records of one partition, in log order; `timestamps` in milliseconds."""

    topic: str
    """Without the cluster's prefix."""
    partition: int
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Sequence[tuple[str, bytes]]]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64]


class Log(Protocol):
    """The loop's topics, read from their beginning; names are without the cluster's prefix."""

    def partitions(self, topic: str) -> list[int]:
        """The partition numbers. Raises RuntimeError if the topic does not exist."""

    def end(self, topic: str, partition: int) -> int:
        """The first offset that is not committed yet."""

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Records]:
        """All records from `start` to `end`, or to where the partition ends now."""


class KafkaLog:
    """Committed records on a cluster. Made by `open_log`."""

    def __init__(self, settings: BrokerSettings, consumer: Any) -> None:
        self._settings, self._consumer = settings, consumer

    def partitions(self, topic: str) -> list[int]:
        """The partition numbers. Raises RuntimeError if the topic does not exist."""
        found = self._consumer.partitions_for_topic(self._settings.topic(topic))
        if not found:
            raise RuntimeError(
                f"there is no topic {self._settings.topic(topic)} at {self._settings.broker}; "
                "`streamwheel topics ensure` creates it"
            )
        return sorted(found)

    def end(self, topic: str, partition: int) -> int:
        """The first offset that is not committed yet."""
        where = TopicPartition(self._settings.topic(topic), partition)
        return int(self._consumer.end_offsets([where])[where])

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Records]:
        """All records from `start` to `end`, or to where the partition ends now."""
        where = TopicPartition(self._settings.topic(topic), partition)
        self._consumer.assign([where])
        stop = self.end(topic, partition) if end is None else min(end, self.end(topic, partition))
        first = max(start, self._consumer.beginning_offsets([where])[where])
        self._consumer.seek(where, first)
        # A transaction's own markers have offsets too, so the position, not a record, tells the end.
        while self._consumer.position(where) < stop:
            found = self._consumer.poll(timeout_ms=POLL_MS, max_records=BATCH).get(where, ())
            records = [record for record in found if record.offset < stop]
            if records:
                yield Records(
                    topic,
                    partition,
                    [record.key for record in records],
                    [record.value for record in records],
                    [record.headers for record in records],
                    np.array([record.offset for record in records], np.int64),
                    np.array([record.timestamp for record in records], np.int64),
                )


@contextmanager
def open_log(settings: BrokerSettings) -> Iterator[Log]:
    """A reader of committed records. Raises kafka.errors.KafkaError when Kafka does not answer."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters is raised
    consumer = KafkaConsumer(
        **settings.kafka_python(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
        bootstrap_timeout_ms=ANSWER_MS,
    )
    try:
        yield KafkaLog(settings, consumer)
    finally:
        consumer.close()


def committed(settings: BrokerSettings, group: str) -> dict[tuple[str, int], OffsetAndMetadata]:
    """(topic without prefix, partition) → what the consumer group has committed; empty for no such group."""
    client = KafkaAdminClient(**settings.kafka_python(), bootstrap_timeout_ms=ANSWER_MS)
    try:
        name = settings.group(group)
        found = client.list_group_offsets(name).get(name, {})
    finally:
        client.close()
    return {
        (where.topic.removeprefix(settings.topic_prefix), where.partition): each
        for where, each in found.items()
        if each.offset >= 0
    }
