"""Filling topics before a measurement, and reading from a topic when its records were appended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from numpy.typing import NDArray

from shared.broker.limits import MAX_BATCH_BYTES
from shared.broker.partitioner import partitions_for
from shared.broker.settings import BrokerSettings
from shared.broker.topics import DEFAULT_PARTITIONS

POLL_S = 0.2
FETCH_MS = 200
STALLED_S = 60.0
"""After so long without a new record the process that writes is given up."""


class Stalled(RuntimeError):
    """A process under measurement no longer writes."""


async def fill(settings: BrokerSettings, topic: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
    """Write records, each to its key's partition, in few large batches; return when all are acknowledged."""
    home = partitions_for(keys, DEFAULT_PARTITIONS)
    producer = AIOKafkaProducer(
        **settings.aiokafka(), acks="all", enable_idempotence=True, max_batch_size=MAX_BATCH_BYTES
    )
    await producer.start()
    try:
        sent = [
            await producer.send_batch(batch, settings.topic(topic), partition=partition)
            for partition in range(DEFAULT_PARTITIONS)
            for batch in _batches(producer, keys, values, np.flatnonzero(home == partition).tolist())
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _batches(
    producer: AIOKafkaProducer, keys: Sequence[bytes], values: Sequence[bytes], rows: list[int]
) -> Iterator[object]:
    batch = producer.create_batch()
    for row in rows:
        if batch.append(key=keys[row], value=values[row], timestamp=None) is None:
            batch.close()
            yield batch
            batch = producer.create_batch()
            batch.append(key=keys[row], value=values[row], timestamp=None)
    if batch.record_count():
        batch.close()
        yield batch


@asynccontextmanager
async def reader(settings: BrokerSettings):  # type: ignore[no-untyped-def]
    """A consumer of what is committed, without a group."""
    consumer = AIOKafkaConsumer(
        **settings.aiokafka(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 << 20,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def append_times(
    settings: BrokerSettings, topic: str, count: int, alive: Callable[[], None]
) -> NDArray[np.int64]:
    """When, in ms of the broker's clock, the first `count` records of a topic were appended, in order.

    Returns once there are so many; `alive` is called meanwhile and may raise. Raises Stalled.
    """
    partitions = [TopicPartition(settings.topic(topic), n) for n in range(DEFAULT_PARTITIONS)]
    async with reader(settings) as consumer:
        await _reached(consumer, partitions, count, alive)
        consumer.assign(partitions)
        found: list[int] = []
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                found += [record.timestamp for record in records]
            alive()
    return np.sort(np.array(found, np.int64))[:count]


async def _reached(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], count: int, alive: Callable[[], None]
) -> None:
    """Ask for the ends only, which costs the broker nothing, until about all is there."""
    seen, changed = -1, time.monotonic()
    while (ends := sum((await consumer.end_offsets(partitions)).values())) < count:
        alive()
        if ends != seen:
            seen, changed = ends, time.monotonic()
        elif time.monotonic() - changed > STALLED_S:
            raise Stalled(f"{partitions[0].topic} has stopped at {ends:,} of {count:,} records")
        await asyncio.sleep(POLL_S)


def rate(times: NDArray[np.int64]) -> float:
    """Records per second from the first append to the last; the first batch is where the clock starts."""
    first, last = int(times[0]), int(times[-1])
    return float(np.count_nonzero(times > first)) / max(1e-3, (last - first) / 1000)
