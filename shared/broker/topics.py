"""The loop's topics, as data, and their creation on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from shared.broker.limits import MAX_RECORD_BYTES
from shared.broker.settings import BrokerSettings

DEFAULT_PARTITIONS = 4
DAY_MS = 24 * 60 * 60 * 1000
_ANY = str(MAX_RECORD_BYTES)


@dataclass(frozen=True)
class Topic:
    """A topic's name (without prefix) and what it must be. `partitions` None: the loop's partition count."""

    name: str
    partitions: int | None
    settings: Mapping[str, str]

    def count(self, partitions: int) -> int:
        """How many partitions the topic has in a loop of `partitions`."""
        return self.partitions or partitions


def _kept(name: str, days: int, partitions: int | None = 1, **settings: str) -> Topic:
    retention = {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS)}
    return Topic(
        name, partitions, retention | {key.replace("_", "."): text for key, text in settings.items()}
    )


def _compacted(name: str, **settings: str) -> Topic:
    named = {key.replace("_", "."): text for key, text in settings.items()}
    return Topic(name, 1, {"cleanup.policy": "compact"} | named)


TOPICS: Mapping[str, Topic] = {
    topic.name: topic
    for topic in (
        # The broker's clock orders the join, hence LogAppendTime.
        _kept(
            "decisions",
            90,
            None,
            message_timestamp_type="LogAppendTime",
            max_message_bytes=_ANY,
        ),
        _kept(
            "interactions",
            90,
            None,
            message_timestamp_type="LogAppendTime",
            max_message_bytes=_ANY,
        ),
        _kept("rewards", 90, None, message_timestamp_type="LogAppendTime"),
        # Megabytes a second, nearly all of them superseded at once: readers start with what compaction left
        # and the segment being written, so both are kept small.
        _compacted("policy-updates", segment_bytes=str(64 << 20), min_cleanable_dirty_ratio="0.1"),
        _kept("retrain-triggers", 90),
        _kept("candidates", 90),
        _kept("evaluations", 90),
        _compacted("deployments"),
        _kept("deployment-events", 365),
        _kept("dead-letters", 30, None, max_message_bytes=_ANY),
    )
}


@dataclass(frozen=True)
class TopicReport:
    """What `ensure_topics` found and did, by full topic name."""

    created: tuple[str, ...] = ()
    existing: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = field(default=())

    @property
    def sound(self) -> bool:
        """Whether every topic is as the loop needs it."""
        return not self.mismatches


def ensure_topics(settings: BrokerSettings, partitions: int = DEFAULT_PARTITIONS) -> TopicReport:
    """Create the topics that are missing; compare the others with what they must be, and change nothing.

    Replication and everything not named in TOPICS stay with the cluster. Safe to call from several processes
    at once. Blocks for up to a few seconds; raises kafka.errors.KafkaError when Kafka cannot be asked.
    """
    wanted = {settings.topic(topic.name): topic for topic in TOPICS.values()}
    client = KafkaAdminClient(**settings.kafka_python())
    try:
        present = set(client.list_topics())
        missing = [name for name in wanted if name not in present]
        if missing:
            _create(client, {name: wanted[name] for name in missing}, partitions)
            client.wait_for_topics(missing)
        existing = {name: topic for name, topic in wanted.items() if name in present}
        return TopicReport(
            created=tuple(missing),
            existing=tuple(existing),
            mismatches=tuple(_mismatches(client, existing, partitions)),
        )
    finally:
        client.close()


def compare_topics(settings: BrokerSettings, partitions: int = DEFAULT_PARTITIONS) -> tuple[str, ...]:
    """What of the cluster's topics is not as the loop needs it, a sentence each; changes nothing.

    Raises kafka.errors.KafkaError when Kafka cannot be asked.
    """
    wanted = {settings.topic(topic.name): topic for topic in TOPICS.values()}
    client = KafkaAdminClient(**settings.kafka_python())
    try:
        present = set(client.list_topics())
        existing = {name: topic for name, topic in wanted.items() if name in present}
        missing = [f"{name}: missing" for name in wanted if name not in present]
        return (*missing, *_mismatches(client, existing, partitions))
    finally:
        client.close()


def _create(client: KafkaAdminClient, topics: Mapping[str, Topic], partitions: int) -> None:
    client.create_topics(
        {
            name: {"num_partitions": topic.count(partitions), "configs": dict(topic.settings)}
            for name, topic in topics.items()
        },
        raise_errors=False,
    )


def _mismatches(client: KafkaAdminClient, topics: Mapping[str, Topic], partitions: int) -> list[str]:
    if not topics:
        return []
    counts = {each["name"]: len(each["partitions"]) for each in client.describe_topics(list(topics))}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    answer: Mapping[str, Any] = client.describe_configs(asked, config_filter="all")
    found = []
    for name, topic in topics.items():
        if counts[name] != topic.count(partitions):
            found.append(f"{name}: {counts[name]} partitions, expected {topic.count(partitions)}")
        actual = answer["topic"][name]
        for key, expected in topic.settings.items():
            if (value := actual[key]["value"]) != expected:
                found.append(f"{name}: {key} is {value}, expected {expected}")
    return found
