"""A service as its user runs it: a process, its port, its log."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import httpx

from shared.broker.node_files import HOST
from shared.broker.settings import BrokerSettings
from tests.ports import own_ports
from tests.waiting import LIMIT, until


class ServiceProcess:
    """A service that can be killed. An environment variable given as None is not set."""

    def __init__(self, module: str, broker: BrokerSettings, log: Path, **environment: str | None) -> None:
        self.log, self.port = log, own_ports()
        given = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAMWHEEL_")},
            "STREAMWHEEL_BROKER": broker.broker,
            "STREAMWHEEL_TOPIC_PREFIX": broker.topic_prefix,
            "STREAMWHEEL_PORT": str(self.port),
            **environment,
        }
        self._module = module
        self._environment = {name: value for name, value in given.items() if value is not None}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it without waiting for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def ready(self, http: httpx.AsyncClient) -> bool:
        """Whether it says so; fails with its log if it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return await is_ready(http)

    async def begin(self) -> None:
        """Start it, and wait until it says that it is ready."""
        self.start()
        async with httpx.AsyncClient(base_url=self.url) as http:
            await until(lambda: self.ready(http))

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    async def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        assert self._process is not None
        code = await asyncio.to_thread(self._process.wait, LIMIT)
        self._process = None
        return code

    async def stop(self) -> int:
        """End it politely; its exit status."""
        assert self._process is not None
        self._process.terminate()
        return await self.ended()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Self, httpx.AsyncClient]]:
        """It, ready, and a client of it, while the context is open."""
        self.start()
        try:
            async with httpx.AsyncClient(base_url=self.url, timeout=LIMIT) as http:
                await until(lambda: self.ready(http))
                yield self, http
        finally:
            self.kill()


async def is_ready(http: httpx.AsyncClient) -> bool:
    """Whether the service says that it is."""
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False
