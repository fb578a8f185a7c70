"""The collector on a real server with a real Kafka, and as a process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.collector.__main__ import build
from services.collector.settings import CollectorSettings
from services.evaluator import rewards
from services.evaluator.vectors import vectors
from shared.applications.search_ranking.weights import NAMES
from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.http.server import EmbeddedServer, listen
from shared.telemetry.tracing import from_headers
from shared.wire.codec import decode
from shared.wire.schemas import schema
from tests.broker.reading import read_all
from tests.collector.events import APPLICATIONS, decision, interaction, now_ms, vector
from tests.ports import own_ports
from tests.processes import ServiceProcess, is_ready
from tests.waiting import LIMIT, until

PARTITIONS = 4
BOUGHT = {"type": "purchase", "value": None, "attributes": {"rank": 3, "price": 199}}


@asynccontextmanager
async def serving(
    broker: BrokerSettings, ready: bool = True, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    with listen("127.0.0.1", 0) as found:
        server = EmbeddedServer(build(CollectorSettings(**settings), broker))
        task = asyncio.create_task(server.serve([found]))
        base = f"http://127.0.0.1:{found.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=base, timeout=LIMIT) as http:
            if ready:
                await until(lambda: is_ready(http))
            yield http
        server.should_exit = True
        await task


async def read(broker: BrokerSettings, name: str) -> list[Any]:
    """Every record that the topic has, in the order of partitions and offsets."""
    partitions = [TopicPartition(broker.topic(name), i) for i in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(**broker.aiokafka(), auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        async with asyncio.timeout(LIMIT):
            while len(found) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += records
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def test_what_is_accepted_is_in_the_log_where_its_key_belongs(topics: BrokerSettings) -> None:
    span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    sent = {f"i-{i}": f"d-{i % 50}" for i in range(200)}
    async with serving(topics) as http:
        items = [interaction(interaction_id=i, decision_id=d) for i, d in sent.items()]
        batches = [items[at : at + 20] for at in range(0, 200, 20)]
        replies = await asyncio.gather(
            *(
                http.post("/v1/interactions", json={"interactions": batch}, headers={"traceparent": span})
                for batch in batches
            )
        )
        logged = await http.post("/v1/decisions/log", json={"decisions": [decision(decided_at=now_ms())]})
    assert [(reply.status_code, reply.json()) for reply in replies] == [(202, {"accepted": 20})] * 10
    assert (logged.status_code, logged.json()) == (202, {"accepted": 1})
    records = await read(topics, "interactions")
    found = {}
    for record in records:
        event = decode(schema("interactions"), record.value)
        found[event["interaction_id"]] = event["decision_id"]
        assert record.key.decode() == event["decision_id"]
        assert record.partition == partition_for(record.key, PARTITIONS)
        assert record.timestamp_type == 1  # the broker's clock
        carried = from_headers(record.headers)
        assert carried is not None
        assert carried.trace_id in span
        assert carried.span_id not in span
    assert found == sent
    [record] = await read(topics, "decisions")
    assert decode(schema("decisions"), record.value)["action"] == "7"


async def test_vectors_with_densities_are_joined_and_weighed_by_them(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    drawn, densities = random.dirichlet(np.ones(7), 20).tolist(), random.uniform(1, 900, 20).tolist()
    rows = {f"v-{n}": each for n, each in enumerate(zip(drawn, densities, strict=True))}
    sent = [vector(decision_id=name, parameters=rows[name][0], density=rows[name][1]) for name in rows]
    acts = [
        interaction(interaction_id=f"i-{name}", decision_id=name, application="search_ranking", **BOUGHT)
        for name in rows
    ]
    async with serving(topics) as http:
        refused = await http.post("/v1/decisions/log", json={"decisions": [*sent, vector(density=-1)]})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "density")
        logged = await http.post("/v1/decisions/log", json={"decisions": sent})
        told = await http.post("/v1/interactions", json={"interactions": acts})
    assert [(reply.status_code, reply.json()) for reply in (logged, told)] == [(202, {"accepted": 20})] * 2
    joiner = ServiceProcess("services.reward_calculator", topics, tmp_path / "log")
    async with joiner.running():
        joined = await until(lambda: _read(topics, 20))
    frame = rewards.decode(joined, attributes=True)[0]
    application, policy = APPLICATIONS["search_ranking"], Uniform()
    found = vectors(frame, policy, application)
    assert found.left_out == ()
    ids = found.frame["decision_id"].to_list()
    assert sorted(ids) == sorted(rows)
    assert found.log.taken.tolist() == [rows[name][0] for name in ids]
    assert found.log.density is not None
    assert found.log.density.tolist() == [rows[name][1] for name in ids]
    assert found.log.reward.tolist() == pytest.approx([0.7 * 20 * 0.199] * 20)


async def _read(broker: BrokerSettings, number: int) -> list[Any]:
    found = await read_all(broker, broker.topic("rewards"))
    return found if len(found) >= number else []


class Uniform:
    """Gives every weight alike."""

    width, names = 23, NAMES

    def action(self, contexts: np.ndarray) -> np.ndarray:
        return np.full((len(contexts), 7), 1 / 7)


async def test_sending_again_writes_the_same_bytes(topics: BrokerSettings) -> None:
    async with serving(topics) as http:
        for _ in range(2):
            reply = await http.post(
                "/v1/interactions", json={"interactions": [interaction(attributes={"a": 1})]}
            )
            assert reply.status_code == 202
    first, second = await read(topics, "interactions")
    assert (first.key, first.value) == (second.key, second.value)


async def test_what_is_refused_is_not_in_the_log(topics: BrokerSettings) -> None:
    async with serving(topics, body_limit=10_000, buffer_bytes=5_000) as http:
        bodies: list[tuple[int, Any]] = [
            (422, {"interactions": [interaction(), interaction(type="$activation")]}),
            (413, {"interactions": [interaction()] * 500}),
            (503, {"interactions": [interaction()] * 60}),
        ]
        for status, body in bodies:
            assert (await http.post("/v1/interactions", json=body)).status_code == status
        last = await http.post(
            "/v1/interactions", json={"interactions": [interaction(interaction_id="last")]}
        )
        assert last.status_code == 202
    [record] = await read(topics, "interactions")
    assert decode(schema("interactions"), record.value)["interaction_id"] == "last"


async def test_without_kafka_it_lives_is_not_ready_and_says_503_within_its_limit() -> None:
    away = BrokerSettings(broker=f"127.0.0.1:{own_ports()}")
    async with serving(away, ready=False, kafka_limit="500ms") as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        async with asyncio.timeout(5):
            reply = await http.post("/v1/interactions", json={"interactions": [interaction()] * 3})
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
    assert (reply.json()["accepted"], reply.json()["ids"]) == (0, ["i-1"] * 3)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_as_a_process_it_serves_and_ends_in_order(
    topics: BrokerSettings, tmp_path: Path, ending: signal.Signals
) -> None:
    process = ServiceProcess("services.collector", topics, tmp_path / "log")
    async with process.running() as (_, http):
        reply = await http.post("/v1/interactions", json={"interactions": [interaction()]})
        assert reply.status_code == 202
        assert 'streamwheel_records_out_total{topic="interactions"} 1.0' in (await http.get("/metrics")).text
        process.signal(ending)
        assert await process.ended() == 0
    assert len(await read(topics, "interactions")) == 1


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"STREAMWHEEL_HOST": "0.0.0.0"}, "STREAMWHEEL_API_KEYS"),
        ({"STREAMWHEEL_APPLICATIONS": "/nonexistent"}, "no such folder"),
        ({"STREAMWHEEL_PORT": "x"}, "port"),
    ],
)
def test_wrong_settings_end_it_with_2_and_a_message(variables: dict[str, str], words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.collector"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert ended.returncode == 2
    assert words in ended.stderr
