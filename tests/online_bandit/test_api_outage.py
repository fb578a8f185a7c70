"""Decisions go on while Kafka is dead, over restarts of the API too, and all are in the log afterwards."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import pytest

from shared.applications.registry import load
from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from shared.core.verify import problems
from tests.online_bandit.processes import publish_updates, read_topic, running
from tests.online_bandit.shop import request, snapshots, taught, write_applications
from tests.ports import own_ports
from tests.waiting import until

LIMIT_S = 2.0


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker of this test's own, to be killed."""
    with EmbeddedBroker(tmp_path / "kafka", own_ports(2)) as broker:
        yield broker


async def decide(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    reply = await http.post("/v1/decisions", json=request(**changes))
    assert reply.status_code == 200, reply.text
    document: dict[str, Any] = reply.json()
    return document


async def metric(http: httpx.AsyncClient, name: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_decisions_outlive_kafka_and_the_api_and_reach_the_log(
    mortal: EmbeddedBroker, tmp_path: Path
) -> None:
    settings = mortal.settings
    ensure_topics(settings)
    shop = load([write_applications(tmp_path / "applications")])["shop"]
    await publish_updates(settings, snapshots(shop, [taught(shop, 500)]))
    replies = []
    async with running(settings, tmp_path) as api:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            replies += [await decide(http) for _ in range(20)]
            mortal.kill()
            began = perf_counter()
            replies += await asyncio.gather(*(decide(http) for _ in range(20)))
            assert perf_counter() - began < 5 * LIMIT_S
            began = perf_counter()
            replies += [await decide(http) for _ in range(20)]
            assert perf_counter() - began < 20 * LIMIT_S / 2  # nobody waits for Kafka any more
            assert (await http.get("/readyz")).status_code == 200
            batch = await http.post("/v1/decisions/batch", json={"decisions": [request()] * 300})
            replies += batch.json()["decisions"]
            activation = await http.post("/v1/decisions/d-7/activation", json={"application": "shop"})
            assert activation.status_code == 200
            assert await metric(http, "streamwheel_spool_records") == 341
        assert await api.stop() == 0
        await api.begin()
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            replies += [await decide(http) for _ in range(20)]
            api.kill()
            await api.begin()
            replies += [await decide(http, decision_id="again")]
            mortal.restart()
            await until(lambda: _empty(http), limit=60)
            replies += [await decide(http) for _ in range(20)]

    assert {reply["policy"]["version"] for reply in replies} == {500}
    assert all(problems(reply) == [] for reply in replies)
    logged = await read_topic(settings, "decisions")
    by_id = {record["decision_id"]: record for record in logged}
    assert by_id.keys() == {reply["decision_id"] for reply in replies}
    for record in logged:
        assert record["_raw"] == by_id[record["decision_id"]]["_raw"]
    for reply in replies:
        assert by_id[reply["decision_id"]]["action"] == reply["action"]
        assert by_id[reply["decision_id"]]["probabilities"] == list(reply["probabilities"].values())
    (activated,) = {record["decision_id"] for record in await read_topic(settings, "interactions")}
    assert activated == "d-7"


async def _empty(http: httpx.AsyncClient) -> bool:
    return await metric(http, "streamwheel_spool_records") == 0


async def test_a_full_spool_refuses_and_says_when_to_try_again(tmp_path: Path) -> None:
    write_applications(tmp_path / "applications")
    nowhere = BrokerSettings(broker=f"{HOST}:{own_ports()}")
    async with (
        running(nowhere, tmp_path, STREAMWHEEL_SPOOL_BYTES="2000") as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        first = await http.post("/v1/decisions", json=request())
        batch = await http.post("/v1/decisions/batch", json={"decisions": [request()] * 50})
        assert first.status_code == 200
        assert batch.status_code == 503
        assert int(batch.headers["Retry-After"]) >= 1
        assert await metric(http, "streamwheel_spool_records") == 1
