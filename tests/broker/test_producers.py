"""What the producer acknowledges is in the log, where its receipt says; what it refuses is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from shared.broker.limits import MAX_BATCH_BYTES, RecordTooLarge
from shared.broker.partitioner import partition_for
from shared.broker.producers import BatchProducer, BufferFull, Unavailable
from shared.broker.settings import BrokerSettings
from tests.broker.reading import read_all


@pytest.fixture
async def producer(topics: BrokerSettings) -> AsyncIterator[BatchProducer]:
    started = BatchProducer(topics, timeout_s=30.0)
    await started.start()
    yield started
    await started.stop()


async def test_receipts_name_where_each_record_lies(producer: BatchProducer, topics: BrokerSettings) -> None:
    topic = topics.topic("decisions")
    keys = [f"decision-{number}".encode() for number in range(600)]
    waiting = iter(keys)
    receipts = {}

    async def sender() -> None:
        for key in waiting:
            receipts[key] = await producer.send(topic, key, b"value of " + key)

    before = time.time_ns() // 1_000_000
    await asyncio.gather(*(sender() for _ in range(16)))
    records = await read_all(topics, topic)
    assert len(records) == len(keys)
    for record in records:
        receipt = receipts[record.key]
        assert (record.partition, record.offset, record.timestamp) == receipt
        assert record.value == b"value of " + record.key
        assert record.partition == partition_for(record.key, 4)
        assert record.timestamp >= before - 1000
    assert producer.buffered_bytes == 0


async def test_many_keep_their_order_and_their_headers(
    producer: BatchProducer, topics: BrokerSettings
) -> None:
    topic = topics.topic("interactions")
    many = [(b"one key", str(number).encode()) for number in range(300)]
    receipts = await producer.send_many(topic, many, [("traceparent", b"00-aa")])
    assert [receipt.offset for receipt in receipts] == list(range(300))
    records = await read_all(topics, topic)
    assert [(record.key, record.value) for record in records] == many
    assert {record.headers for record in records} == {(("traceparent", b"00-aa"),)}


async def test_more_than_one_batch_of_waiting_records_arrives_whole(
    producer: BatchProducer, topics: BrokerSettings
) -> None:
    topic = topics.topic("interactions")
    many = [(b"one key", bytes(100_000)) for _ in range(25)]
    receipts = await producer.send_many(topic, many)
    assert [receipt.offset for receipt in receipts] == list(range(25))


async def test_a_full_buffer_refuses_and_writes_nothing_of_it(topics: BrokerSettings) -> None:
    producer = BatchProducer(topics, max_buffered_bytes=1_000, timeout_s=30.0)
    await producer.start()
    topic = topics.topic("decisions")
    try:
        await producer.send(topic, b"first", bytes(500))
        with pytest.raises(BufferFull):
            await producer.send_many(topic, [(b"large", bytes(600)), (b"small", bytes(600))])
        await producer.send(topic, b"last", bytes(500))
    finally:
        await producer.stop()
    assert {record.key for record in await read_all(topics, topic)} == {b"first", b"last"}


async def test_a_record_too_large_is_refused_and_the_next_one_written(
    producer: BatchProducer, topics: BrokerSettings
) -> None:
    topic = topics.topic("decisions")
    with pytest.raises(RecordTooLarge):
        await producer.send(topic, b"key", bytes(MAX_BATCH_BYTES))
    with pytest.raises(RecordTooLarge):
        await producer.send_many(topic, [(b"key", b"small"), (b"key", bytes(10_000_000))])
    await producer.send(topic, b"key", bytes(MAX_BATCH_BYTES - 1_000))
    assert len(await read_all(topics, topic)) == 1
    assert producer.buffered_bytes == 0


async def test_after_kafka_refuses_a_batch_the_producer_goes_on(
    producer: BatchProducer, topics: BrokerSettings
) -> None:
    from kafka import KafkaAdminClient

    strict = topics.topic("strict")
    client = KafkaAdminClient(**topics.kafka_python())
    try:
        options = {"num_partitions": 1, "configs": {"max.message.bytes": "1000"}}
        client.create_topics({strict: options}, wait_for_metadata=True)
    finally:
        client.close()
    with pytest.raises(RecordTooLarge):
        await producer.send(strict, b"key", bytes(5_000))
    assert (await producer.send(strict, b"key", b"fits")).offset == 0


async def test_a_topic_that_does_not_exist_is_unavailable(names: BrokerSettings) -> None:
    producer = BatchProducer(names, timeout_s=1.0)
    await producer.start()
    try:
        with pytest.raises(Unavailable, match="absent") as failure:
            await producer.send(names.topic("absent"), b"key", b"value")
    finally:
        await producer.stop()
    assert not failure.value.maybe_written


async def test_a_caller_that_goes_away_does_not_disturb_the_others(
    producer: BatchProducer, topics: BrokerSettings
) -> None:
    topic = topics.topic("decisions")
    await producer.send(topic, b"open the topic", b"")
    gone = asyncio.create_task(producer.send(topic, b"key", b"gone"))
    stays = asyncio.create_task(producer.send(topic, b"key", b"stays"))
    await asyncio.sleep(0)
    gone.cancel()
    receipt = await stays
    records = await read_all(topics, topic)
    assert (receipt.partition, receipt.offset) in {
        (record.partition, record.offset) for record in records if record.value == b"stays"
    }
