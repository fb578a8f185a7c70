"""What the producer does while Kafka is not there: wait, say so in time, and go on afterwards."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.broker.producers import BatchProducer, Unavailable
from shared.broker.topics import ensure_topics
from tests.broker.reading import read_all

LIMIT_S = 120.0
pytestmark = pytest.mark.timeout(600)  # several starts of Kafka, on a machine that may be busy


async def test_a_crash_loses_and_doubles_nothing_that_was_acknowledged(own_broker: EmbeddedBroker) -> None:
    topic = "decisions"
    producer = BatchProducer(own_broker.settings, timeout_s=LIMIT_S)
    await producer.start()  # before Kafka
    acknowledged: set[bytes] = set()
    stopped = asyncio.Event()

    async def sender(name: int) -> None:
        number = 0
        while not stopped.is_set():
            value = f"{name}-{number}".encode()
            await producer.send(topic, value, value)
            acknowledged.add(value)
            number += 1

    await asyncio.to_thread(own_broker.start)
    await asyncio.to_thread(ensure_topics, own_broker.settings)
    senders = [asyncio.create_task(sender(name)) for name in range(8)]
    try:
        await _until(lambda: len(acknowledged) > 500)
        await asyncio.to_thread(own_broker.kill)
        before = len(acknowledged)
        await asyncio.to_thread(own_broker.restart)
        await _until(lambda: len(acknowledged) > before + 500)
        stopped.set()
        await asyncio.wait_for(asyncio.gather(*senders), LIMIT_S)
    finally:
        stopped.set()
        for task in senders:
            task.cancel()
        await producer.stop()
    values = [record.value for record in await read_all(own_broker.settings, topic)]
    assert len(values) == len(set(values))
    assert set(values) == acknowledged


async def test_an_outage_is_reported_in_time_and_ends_by_itself(own_broker: EmbeddedBroker) -> None:
    topic, timeout_s = "decisions", 1.0
    await asyncio.to_thread(own_broker.start)
    await asyncio.to_thread(ensure_topics, own_broker.settings)
    producer = BatchProducer(own_broker.settings, timeout_s=timeout_s)
    await producer.start()
    try:
        await _until_sent(producer, topic)
        assert producer.available
        await asyncio.to_thread(own_broker.kill)
        failures = await asyncio.gather(
            *(producer.send(topic, b"key", str(number).encode()) for number in range(3)),
            producer.send_many(topic, [(b"key", b"3"), (b"key", b"4")]),
            return_exceptions=True,
        )
        assert all(isinstance(failure, Unavailable) for failure in failures)
        with pytest.raises(Unavailable) as later:
            await producer.send(topic, b"key", b"5")
        assert not later.value.maybe_written  # it never left the queue
        assert not producer.available
        await asyncio.to_thread(own_broker.restart)
        await _until_sent(producer, topic)
        assert producer.available
        values = [record.value for record in await read_all(own_broker.settings, topic)]
        assert b"5" not in values
    finally:
        await producer.stop()


async def test_stopping_does_not_wait_for_a_kafka_that_is_gone(own_broker: EmbeddedBroker) -> None:
    topic = "decisions"
    await asyncio.to_thread(own_broker.start)
    await asyncio.to_thread(ensure_topics, own_broker.settings)
    producer = BatchProducer(own_broker.settings, timeout_s=2.0)
    await producer.start()
    await _until_sent(producer, topic)
    await asyncio.to_thread(own_broker.kill)
    waiting = asyncio.create_task(producer.send(topic, b"key", b"never"))
    await _until(lambda: producer.buffered_bytes > 0)
    async with asyncio.timeout(15.0):
        await producer.stop()
    with pytest.raises(Unavailable):
        await waiting
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert others == []


async def _until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def _until_sent(producer: BatchProducer, topic: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(Unavailable):
                await producer.send(topic, b"probe", b"probe")
                return
