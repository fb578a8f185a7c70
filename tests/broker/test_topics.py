"""Topics are created as the design says, once, and differences are reported instead of changed."""

from __future__ import annotations

from kafka import KafkaAdminClient

from shared.broker.settings import BrokerSettings
from shared.broker.topics import TOPICS, ensure_topics


def test_creates_every_topic_and_then_none(names: BrokerSettings) -> None:
    first = ensure_topics(names)
    second = ensure_topics(names)
    assert set(first.created) == {names.topic(name) for name in TOPICS}
    assert first.existing == ()
    assert second.created == ()
    assert set(second.existing) == set(first.created)
    assert second.sound


def test_partitions_follow_the_loop_except_where_one_is_enough(names: BrokerSettings) -> None:
    ensure_topics(names, partitions=2)
    client = KafkaAdminClient(**names.kafka_python())
    try:
        described = client.describe_topics([names.topic(name) for name in TOPICS])
    finally:
        client.close()
    counts = {each["name"].removeprefix(names.topic_prefix): len(each["partitions"]) for each in described}
    assert {name for name, count in counts.items() if count == 2} == {
        "decisions",
        "interactions",
        "rewards",
        "dead-letters",
    }
    assert all(count in (1, 2) for count in counts.values())


def test_reports_what_differs_and_leaves_it(names: BrokerSettings) -> None:
    client = KafkaAdminClient(**names.kafka_python())
    try:
        client.create_topics({names.topic("decisions"): {"num_partitions": 3}}, wait_for_metadata=True)
    finally:
        client.close()
    report = ensure_topics(names)
    assert not report.sound
    assert f"{names.topic('decisions')}: 3 partitions, expected 4" in report.mismatches
    assert (
        f"{names.topic('decisions')}: message.timestamp.type is CreateTime, expected LogAppendTime"
        in report.mismatches
    )
    assert ensure_topics(names).mismatches == report.mismatches
