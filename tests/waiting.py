"""Waiting for a condition instead of for some time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

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


def wait_for(condition: Callable[[], Any], limit: float = LIMIT) -> Any:
    """The same without an event loop."""
    end = time.monotonic() + limit
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit} s in vain")
        time.sleep(EVERY)
    return found
