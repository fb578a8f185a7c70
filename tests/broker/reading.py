"""Reading a topic back, for the tests of what writes to it."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.broker.settings import BrokerSettings


async def read_all(
    settings: BrokerSettings, topic: str, partitions: int = 4, isolation: str = "read_committed"
) -> list[Any]:
    """Every record of a topic (full name) up to its end now, partition by partition, in order.

    Waits for transactions that end before that end to become visible: a commit returns earlier than that.
    """
    wanted = [TopicPartition(topic, partition) for partition in range(partitions)]
    ends = await _ends(settings, wanted)
    consumer = AIOKafkaConsumer(
        **settings.aiokafka(),
        isolation_level=isolation,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign(wanted)
        records: list[Any] = []
        while any([await consumer.position(tp) < ends[tp] for tp in wanted]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(batch)
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def _ends(settings: BrokerSettings, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
    """The ends of the partitions, open transactions included."""
    consumer = AIOKafkaConsumer(**settings.aiokafka(), enable_auto_commit=False)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(wanted)
        return ends
    finally:
        await consumer.stop()
