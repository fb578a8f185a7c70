"""The decision API as a real process, and the topics it reads and writes."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.broker.node_files import HOST
from shared.broker.ports import LAST, free_block
from shared.broker.settings import BrokerSettings
from shared.broker.topics import DEFAULT_PARTITIONS, TOPICS
from shared.wire.codec import decode, encode
from shared.wire.policy_updates import Keyed
from shared.wire.schemas import schema

STOP_S = 20


class Api:
    """A running decision API."""

    def __init__(self, broker: BrokerSettings, folder: Path, **environment: str) -> None:
        self.folder, self.port = folder, free_block(HOST, 1, LAST - 3000 + os.getpid() % 2000)
        self.log = folder / "api.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAMWHEEL_")},
            "STREAMWHEEL_BROKER": broker.broker,
            "STREAMWHEEL_TOPIC_PREFIX": broker.topic_prefix,
            "STREAMWHEEL_PORT": str(self.port),
            "STREAMWHEEL_APPLICATIONS": str(folder / "applications"),
            "STREAMWHEEL_STATE": str(folder / "state"),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    def launch(self) -> None:
        """Start the process without waiting for it."""
        command = [sys.executable, "-m", "services.online_bandit.api"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )

    async def start(self) -> None:
        """Start and wait until it says that it is ready."""
        self.launch()
        async with httpx.AsyncClient(base_url=self.url) as http:
            await until(lambda: self._ready(http), limit=60)

    async def _ready(self, http: httpx.AsyncClient) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """End it politely; its exit status."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.terminate()
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@asynccontextmanager
async def running(broker: BrokerSettings, folder: Path, **environment: str) -> AsyncIterator[Api]:
    """A decision API while the context is open."""
    api = Api(broker, folder, **environment)
    try:
        await api.start()
        yield api
    finally:
        api.kill()


async def until(condition: Callable[[], Awaitable[bool]], limit: float = 20) -> None:
    """Return once the condition holds; TimeoutError after `limit` seconds."""
    async with asyncio.timeout(limit):
        while not await condition():
            await asyncio.sleep(0.02)


async def read_topic(broker: BrokerSettings, name: str) -> list[dict[str, Any]]:
    """Every record of the topic, decoded, partition by partition; `_headers`, `_key` and `_raw` added."""
    consumer = AIOKafkaConsumer(
        **broker.aiokafka(), enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        count = TOPICS[name].count(DEFAULT_PARTITIONS)
        partitions = [TopicPartition(broker.topic(name), number) for number in range(count)]
        ends = await consumer.end_offsets(partitions)
        found = []
        for partition in partitions:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < ends[partition]:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [_decoded(name, record) for record in records]
        return found
    finally:
        await consumer.stop()


def _decoded(name: str, record: Any) -> dict[str, Any]:
    decoded = decode(schema(name), record.value)
    return {**decoded, "_headers": dict(record.headers), "_key": record.key, "_raw": record.value}


async def publish_updates(broker: BrokerSettings, updates: Sequence[Keyed]) -> None:
    """Write policy updates in one transaction, as a learner does."""
    producer = AIOKafkaProducer(
        **broker.aiokafka(),
        transactional_id=f"test-{uuid.uuid4().hex}",
        max_request_size=1_000_000,
    )
    await producer.start()
    try:
        async with producer.transaction():
            for key, record in updates:
                value = encode(schema("policy-updates"), record)
                await producer.send_and_wait(broker.topic("policy-updates"), value, key=key)
    finally:
        await producer.stop()
