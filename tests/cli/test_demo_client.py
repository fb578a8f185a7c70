"""The demo's HTTP client: httpx's interface and errors, over other connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from shared.cli.demo.client import client


@asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that says `reply` to each request, or nothing; gives its URL and the bodies it got."""
    bodies: list[bytes] = []
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        bodies.append(await reader.readexactly(int(length.split(b":")[1])))
        if reply is None:
            await over.wait()
        else:
            writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", bodies
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def test_requests_and_replies_pass_whole() -> None:
    said = b'HTTP/1.1 422 No\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"no": "a"}'
    async with answering(said) as (url, bodies), client() as http:
        reply = await http.post(url, json={"a": 1})
    assert bodies == [b'{"a":1}']
    assert reply.status_code == 422
    assert reply.json() == {"no": "a"}
    assert reply.headers["content-type"] == "application/json"
    with pytest.raises(httpx.HTTPStatusError):
        reply.raise_for_status()


async def test_errors_are_those_of_httpx() -> None:
    async with client() as http:
        async with answering(b"") as (url, _):
            with pytest.raises(httpx.ReadError):
                await http.post(url, json={})
        with pytest.raises(httpx.ConnectError):
            await http.post(url, json={})
        async with answering(None) as (url, _):
            with pytest.raises(httpx.ReadTimeout):
                await http.post(url, json={}, timeout=0.05)
