"""The decision API as a real process, and the topics it reads and writes."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.broker.settings import BrokerSettings
from shared.broker.topics import DEFAULT_PARTITIONS, TOPICS
from shared.wire.codec import decode, encode
from shared.wire.policy_updates import Keyed
from shared.wire.schemas import schema
from tests.processes import ServiceProcess


class Api(ServiceProcess):
    """A running decision API."""

    def __init__(self, broker: BrokerSettings, folder: Path, **environment: str) -> None:
        self.folder = folder
        given = {
            "STREAMWHEEL_APPLICATIONS": str(folder / "applications"),
            "STREAMWHEEL_STATE": str(folder / "state"),
        }
        super().__init__("services.online_bandit.api", broker, folder / "api.log", **given | environment)


@asynccontextmanager
async def running(broker: BrokerSettings, folder: Path, **environment: str) -> AsyncIterator[Api]:
    """A decision API while the context is open."""
    api = Api(broker, folder, **environment)
    try:
        await api.begin()
        yield api
    finally:
        api.kill()


async def read_topic(broker: BrokerSettings, name: str) -> list[dict[str, Any]]:
    """Every record of the topic, decoded, partition by partition; `_headers`, `_key` and `_raw` added."""
    consumer = AIOKafkaConsumer(
        **broker.aiokafka(), enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        count = TOPICS[name].count(DEFAULT_PARTITIONS)
        partitions = [TopicPartition(broker.topic(name), number) for number in range(count)]
        ends = await consumer.end_offsets(partitions)
        found = []
        for partition in partitions:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < ends[partition]:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [_decoded(name, record) for record in records]
        return found
    finally:
        await consumer.stop()


def _decoded(name: str, record: Any) -> dict[str, Any]:
    decoded = decode(schema(name), record.value)
    return {**decoded, "_headers": dict(record.headers), "_key": record.key, "_raw": record.value}


async def publish_updates(broker: BrokerSettings, updates: Sequence[Keyed]) -> None:
    """Write policy updates in one transaction, as a learner does."""
    producer = AIOKafkaProducer(
        **broker.aiokafka(),
        transactional_id=f"test-{uuid.uuid4().hex}",
        max_request_size=1_000_000,
    )
    await producer.start()
    try:
        async with producer.transaction():
            for key, record in updates:
                value = encode(schema("policy-updates"), record)
                await producer.send_and_wait(broker.topic("policy-updates"), value, key=key)
    finally:
        await producer.stop()
