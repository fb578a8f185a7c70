"""A model of many megabytes arrives in chunks and is solved while other requests go on."""

import asyncio
from pathlib import Path
from time import perf_counter

import httpx
import yaml

from shared.broker.settings import BrokerSettings
from tests.online_bandit.processes import publish_updates, running
from tests.online_bandit.shop import large, large_settings, request, snapshots, taught, write_applications
from tests.waiting import until

ACTIONS, FEATURES = 100, 200


async def test_merging_and_solving_a_large_model_never_stall_requests(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    settings = yaml.safe_dump(large_settings(ACTIONS, FEATURES))
    write_applications(tmp_path / "applications", large=settings)
    application = large(ACTIONS, FEATURES)
    learner = taught(application, 2_000)
    updates = snapshots(application, [learner])
    assert len(updates) > 20
    assert sum(len(record["payload"]) for _, record in updates) > 15_000_000
    latencies: list[float] = []
    async with running(topics, tmp_path) as api, httpx.AsyncClient(base_url=api.url, timeout=30) as http:
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                began = perf_counter()
                assert (await http.post("/v1/decisions", json=request())).status_code == 200
                latencies.append(perf_counter() - began)

        asking = [asyncio.create_task(ask()) for _ in range(2)]
        await publish_updates(topics, updates)
        await until(lambda: _served(http), limit=60)
        solving = await _solve_seconds(http)
        done.set()
        await asyncio.gather(*asking)
        context = dict.fromkeys((f"x{i}" for i in range(FEATURES)), 0.1)
        asked = request(application="large", context=context)
        decided = (await http.post("/v1/decisions", json=asked)).json()
    assert decided["policy"]["version"] == 2_000
    assert len(decided["probabilities"]) == ACTIONS
    assert max(latencies) < max(0.25, solving / 2)


async def _served(http: httpx.AsyncClient) -> bool:
    version: int = (await http.get("/v1/policies/large")).json()["version"]
    return version == 2_000


async def _solve_seconds(http: httpx.AsyncClient) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    wanted = 'streamwheel_solve_seconds_sum{application="large"} '
    return next(float(line.split()[1]) for line in lines if line.startswith(wanted))
