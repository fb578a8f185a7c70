"""The kill switch: at once, without Kafka, and over restarts."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from tests.online_bandit.candidates import KEY, deploy, deployed, deployment, shop_candidate
from tests.online_bandit.processes import read_topic, running
from tests.online_bandit.shop import request, write_applications
from tests.ports import own_ports
from tests.waiting import until

WHY = {"reason": "complaints", "by": "ann"}
SWITCH = "/v1/kill/shop"


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker of this test's own, to be killed."""
    with EmbeddedBroker(tmp_path / "kafka", own_ports(2)) as broker:
        yield broker


async def decide(http: httpx.AsyncClient, number: int = 0) -> dict[str, Any]:
    reply = await http.post("/v1/decisions", json=request(subject_id=f"s-{number}"))
    assert reply.status_code == 200, reply.text
    document: dict[str, Any] = reply.json()
    return document


async def events(broker: BrokerSettings) -> list[dict[str, Any]]:
    return await read_topic(broker, "deployment-events")


async def test_the_switch_works_at_once_without_kafka_and_is_told_to_the_log_later(
    mortal: EmbeddedBroker, tmp_path: Path
) -> None:
    settings = mortal.settings
    ensure_topics(settings)
    write_applications(tmp_path / "applications")
    stable, canary = (shop_candidate(tmp_path / "artefacts", likes) for likes in ("popup", "mail"))
    rollout = deployment(5, deployed(stable), canary=deployed(canary), share=0.5, salt="r", stage="50 %")
    await deploy(settings, rollout)
    async with running(settings, tmp_path, STREAMWHEEL_ASSIGNMENT_KEY=KEY) as api:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            assert {(await decide(http, n))["policy"]["name"] for n in range(20)} == {stable.id, canary.id}
            mortal.kill()
            switching = asyncio.create_task(http.put(SWITCH, json=WHY))
            await until(lambda: _killed(http))
            # Told to nobody yet, and already obeyed.
            killed = [await decide(http, n) for n in range(20)]
            reply = await switching
            assert reply.status_code == 200
            assert reply.json()["killed"]["reason"] == "complaints"
            assert all(each["policy"]["version"] == 0 and each["rollout"] is None for each in killed)
            assert (await http.put(SWITCH, json={**WHY, "by": "bob"})).json() == reply.json()
            described = (await http.get("/v1/policies/shop")).json()
            assert described["killed"]["by"] == "ann"
            assert list(described["arms"]) == ["stable"]
            assert described["deployment"]["sequence"] == 5
            assert 'streamwheel_killed{application="shop"} 1.0' in (await http.get("/metrics")).text
        api.kill()
        await api.begin()
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            assert (await decide(http))["policy"]["version"] == 0
            assert await _killed(http)
            mortal.restart()
            await until(lambda: _spool_is_empty(http), limit=60)
            revived = await http.delete(SWITCH, params={"by": "ann", "reason": "fixed"})
            assert (revived.status_code, revived.json()["was_killed"]) == (200, True)
            assert (await http.delete(SWITCH)).json()["was_killed"] is False
            assert {(await decide(http, n))["policy"]["name"] for n in range(20)} == {stable.id, canary.id}
            assert await api.stop() == 0
        await api.begin()
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            assert not await _killed(http)
    found = {record["event_id"]: record for record in await events(settings)}
    (off, on) = sorted(found.values(), key=lambda each: each["at"])
    assert (off["what"], off["by"], off["cause"], off["share"]) == ("killed", "ann", "complaints", 0.0)
    assert (off["policy"], off["sequence"], off["stage"]) == (canary.id, 5, "50 %")
    assert off["stable"].startswith("main@")
    assert (on["what"], on["by"], on["cause"], on["share"]) == ("revived", "ann", "fixed", 0.5)
    assert on["stable"] == stable.id


async def _killed(http: httpx.AsyncClient) -> bool:
    return (await http.get("/v1/policies/shop")).json()["killed"] is not None


async def _spool_is_empty(http: httpx.AsyncClient) -> bool:
    return "streamwheel_spool_records 0.0" in (await http.get("/metrics")).text


async def test_the_switch_needs_a_key_where_there_are_keys_and_refuses_what_it_does_not_know(
    tmp_path: Path,
) -> None:
    write_applications(tmp_path / "applications")
    nowhere = BrokerSettings(broker=f"{HOST}:{own_ports()}")
    async with (
        running(nowhere, tmp_path, STREAMWHEEL_API_KEYS="right") as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        assert (await http.put(SWITCH, json=WHY)).status_code == 401
        assert (await http.delete(SWITCH)).status_code == 401
        http.headers["X-API-Key"] = "right"
        assert not await _killed(http)
        for body, field in [
            ({"by": "ann"}, "reason"),
            ({"reason": "", "by": "ann"}, "reason"),
            ({**WHY, "who": "x"}, "who"),
            ({**WHY, "reason": "x" * 1001}, "reason"),
        ]:
            refused = await http.put(SWITCH, json=body)
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
        assert (await http.put("/v1/kill/shoop", json=WHY)).status_code == 404
        assert not await _killed(http)
