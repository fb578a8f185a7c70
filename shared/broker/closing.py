"""Ending aiokafka producers, which by themselves wait for ever when Kafka is away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer


async def close(producer: AIOKafkaProducer, timeout_s: float) -> None:
    """Stop `producer`: what is under way has `timeout_s` to arrive, then it is given up."""
    flushing = asyncio.create_task(producer.flush())
    arrived, _ = await asyncio.wait([flushing], timeout=timeout_s)
    if arrived:
        await producer.stop()
        return
    flushing.cancel()
    # aiokafka 0.14 has no public way to give up: `stop` would wait for the task that retries for ever.
    producer._closed = True
    with suppress(TimeoutError):
        await asyncio.wait_for(producer._sender.close(), timeout_s)
    await producer.client.close()


def retrieve(future: asyncio.Future[Any]) -> None:
    """A done-callback that marks a failure as seen, for futures that nobody may come to await."""
    if not future.cancelled():
        future.exception()
