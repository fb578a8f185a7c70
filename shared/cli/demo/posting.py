"""Requests of a product that does not give up at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

ATTEMPTS = 30
PAUSE_S = 0.5
"""Between attempts when a service says 503 or does not answer: together longer than a restart takes."""


async def post(client: httpx.AsyncClient, url: str, body: Mapping[str, object], *also: int) -> httpx.Response:
    """The reply, 2xx or one of `also`; asked again while the service is away. Raises httpx.HTTPError."""
    for attempt in range(ATTEMPTS):
        try:
            reply = await client.post(url, json=body)
            if reply.status_code not in also:
                reply.raise_for_status()
            return reply
        except httpx.HTTPError as error:
            away = not isinstance(error, httpx.HTTPStatusError) or error.response.is_server_error
            if not away or attempt == ATTEMPTS - 1:
                raise
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")
