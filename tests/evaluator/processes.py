"""The evaluator as a process, what it reads, and what it writes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from shared.broker.node_files import HOST
from shared.broker.ports import LAST, free_block
from shared.broker.settings import BrokerSettings
from shared.wire.rollouts import Deployment, Evaluation, read_evaluation
from shared.wire.training import Candidate
from tests.broker.reading import read_all

_PORTS = count(LAST - 9000 + os.getpid() % 1900)
LIMIT = 60.0


async def put(
    broker: BrokerSettings, topic: str, *values: Candidate | Evaluation | Deployment | bytes
) -> None:
    """Put records, or other bytes, on a topic."""
    producer = AIOKafkaProducer(**broker.aiokafka(), enable_idempotence=True)
    await producer.start()
    try:
        for each in values:
            value = each if isinstance(each, bytes) else each.encode()
            key = b"a key" if isinstance(each, bytes) else each.application.encode()
            await producer.send_and_wait(broker.topic(topic), value, key=key)
    finally:
        await producer.stop()


async def evaluations(broker: BrokerSettings) -> list[Evaluation]:
    """Everything on the topic evaluations."""
    found = await read_all(broker, broker.topic("evaluations"), partitions=1)
    return [read_evaluation(record.value) for record in found]


async def judged(broker: BrokerSettings, number: int, kind: str = "log") -> list[Evaluation]:
    """The evaluations of a kind, once there are so many."""
    found: list[Evaluation] = []

    async def there() -> bool:
        found[:] = [each for each in await evaluations(broker) if each.kind == kind]
        return len(found) >= number

    await until(there)
    return found


async def until(condition: Callable[[], Awaitable[Any]], limit: float = LIMIT) -> None:
    """Return once the condition holds; TimeoutError after `limit` seconds."""
    async with asyncio.timeout(limit):
        while not await condition():
            await asyncio.sleep(0.05)


class EvaluatorProcess:
    """An evaluator that can be killed."""

    def __init__(self, broker: BrokerSettings, folder: Path, **environment: str | None) -> None:
        self.log, self.state = folder / "evaluator.log", folder / "state"
        self.port = free_block(HOST, 1, next(_PORTS))
        given = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAMWHEEL_")},
            "STREAMWHEEL_BROKER": broker.broker,
            "STREAMWHEEL_TOPIC_PREFIX": broker.topic_prefix,
            "STREAMWHEEL_PORT": str(self.port),
            "STREAMWHEEL_APPLICATIONS": str(folder / "applications"),
            "STREAMWHEEL_STATE": str(self.state),
            "STREAMWHEEL_INSTANCE": "evaluator-1",
            "STREAMWHEEL_LOOK_EVERY": "50ms",
            **environment,
        }
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
                [sys.executable, "-m", "services.evaluator"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def ready(self, http: httpx.AsyncClient) -> bool:
        """Whether it says so; fails with its log if it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def stop(self) -> int:
        """End it politely; its exit status."""
        assert self._process is not None
        self._process.terminate()
        code = await asyncio.to_thread(self._process.wait, LIMIT)
        self._process = None
        return code


@asynccontextmanager
async def evaluating(
    broker: BrokerSettings, folder: Path, **environment: str | None
) -> AsyncIterator[tuple[EvaluatorProcess, httpx.AsyncClient]]:
    """An evaluator that is ready, while the context is open."""
    process = EvaluatorProcess(broker, folder, **environment)
    process.start()
    try:
        async with httpx.AsyncClient(base_url=process.url, timeout=LIMIT) as http:
            await until(lambda: process.ready(http))
            yield process, http
    finally:
        process.kill()
