"""A worker's /healthz, /readyz and /metrics, over a real socket."""

import httpx
import pytest

from shared.http.keys import BindingRefused
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.server import serve


async def test_the_three_routes_answer_from_the_workers_loop() -> None:
    metrics, now = Metrics(), [0.0]
    health = Health(lambda: now[0])
    loop = health.loop("join", limit=5)
    ready: list[str | None] = ["starting"]
    health.check("broker", lambda: ready[0])
    metrics.records_in.labels("decisions").inc(3)
    async with (
        serve("127.0.0.1", 0, health, metrics.registry) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        assert (await client.get("/healthz")).status_code == 200
        refused = await client.get("/readyz")
        assert (refused.status_code, refused.json()["problems"]) == (503, ["broker: starting"])
        ready[0] = None
        assert (await client.get("/readyz")).status_code == 200
        assert 'streamwheel_records_in_total{topic="decisions"} 3.0' in (await client.get("/metrics")).text
        now[0] = 6.0
        assert (await client.get("/healthz")).status_code == 503
        loop.beat()
        assert (await client.get("/healthz")).status_code == 200


async def test_the_port_is_free_again_afterwards() -> None:
    health, metrics = Health(lambda: 0.0), Metrics()
    async with serve("127.0.0.1", 0, health, metrics.registry) as port:
        pass
    async with serve("127.0.0.1", port, health, metrics.registry) as again:
        assert again == port


async def test_metrics_need_a_key_where_there_are_keys_and_probes_do_not() -> None:
    health, metrics = Health(lambda: 0.0), Metrics()
    async with (
        serve("0.0.0.0", 0, health, metrics.registry, ["secret"]) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401
        allowed = await client.get("/metrics", headers={"Authorization": "Bearer secret"})
        assert allowed.status_code == 200


async def test_no_wider_binding_without_keys() -> None:
    with pytest.raises(BindingRefused, match="STREAMWHEEL_API_KEYS"):
        async with serve("0.0.0.0", 0, Health(lambda: 0.0), Metrics().registry):
            pass
