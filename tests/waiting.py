"""Waiting for a condition instead of for some time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

LIMIT = 60.0
"""Seconds that anything is waited for, on a machine that does other things too."""
EVERY = 0.03


async def until(condition: Callable[[], Awaitable[Any] | Any], limit: float = LIMIT) -> Any:
    """What the condition, or its coroutine, returns once that is true; TimeoutError after `limit` seconds."""
    async with asyncio.timeout(limit):
        while True:
            found = condition()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return found
            await asyncio.sleep(EVERY)


async def until_measured(http: httpx.AsyncClient, *lines: str, limit: float = LIMIT) -> None:
    """Wait until the service's metrics hold these: it counts what it wrote after others can read it."""
    missing: list[str] = []

    async def held() -> bool:
        text = (await http.get("/metrics")).text
        missing[:] = [line for line in lines if line not in text]
        return not missing

    try:
        await until(held, limit)
    except TimeoutError:
        raise AssertionError(f"the metrics do not say {missing}") from None


def wait_for(condition: Callable[[], Any], limit: float = LIMIT) -> Any:
    """The same without an event loop."""
    end = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit} s in vain")
        time.sleep(EVERY)
    return found
