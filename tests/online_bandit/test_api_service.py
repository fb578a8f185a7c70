"""The decision API on a real Kafka: its contract, and policies that are swapped while requests run."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.online_bandit.api.segments import read as read_segment
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from shared.core.verify import problems
from shared.wire.policy_updates import progress_record
from tests.online_bandit.processes import Api, publish_updates, read_topic, running
from tests.online_bandit.shop import ACTIONS, ranked, request, snapshots, taught, teach, write_applications
from tests.waiting import until, until_measured

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_applications(tmp_path / "applications")
    return tmp_path


@pytest.fixture
async def api(topics: BrokerSettings, folder: Path) -> AsyncIterator[Api]:
    async with running(topics, folder) as started:
        yield started


@pytest.fixture
async def http(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        yield client


def by_id(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {record["decision_id"]: record for record in records}
    assert len(found) == len(records)
    return found


async def test_a_decision_is_answered_as_promised_and_logged_as_answered(
    http: httpx.AsyncClient, topics: BrokerSettings
) -> None:
    reply = await http.post("/v1/decisions", json=request(deferred=True), headers={"traceparent": TRACE})
    assert reply.status_code == 200
    document = reply.json()
    assert list(document) == ["decision_id", "action", "propensity", "probabilities", "policy", "rollout"]
    assert list(document["probabilities"]) == ACTIONS
    assert document["probabilities"] == pytest.approx(dict.fromkeys(ACTIONS, 1 / 3))
    assert document["policy"]["version"] == 0
    assert document["rollout"] is None
    assert problems(document) == []
    (logged,) = await read_topic(topics, "decisions")
    assert logged["decision_id"] == document["decision_id"] == logged["_key"].decode()
    assert logged["application"] == "shop"
    assert (logged["policy"], logged["policy_version"]) == (document["policy"]["name"], 0)
    assert (logged["action"], logged["propensity"]) == (document["action"], document["propensity"])
    assert logged["probabilities"] == list(document["probabilities"].values())
    assert logged["context"] == [-1.0, 1.0, 0.0]
    assert logged["deferred"] is True
    assert [each["text"] for each in logged["attributes"]] == ["Grüße"]
    assert logged["_headers"]["traceparent"].decode().split("-")[1] == TRACE.split("-")[1]
    assert logged["_headers"]["traceparent"].decode() != TRACE


async def test_a_request_sent_again_gets_the_same_reply_and_is_logged_once(
    http: httpx.AsyncClient, topics: BrokerSettings
) -> None:
    asked = request(decision_id="mine")
    replies = await asyncio.gather(*(http.post("/v1/decisions", json=asked) for _ in range(10)))
    batch = await http.post("/v1/decisions/batch", json={"decisions": [asked, request()]})
    other = await http.post("/v1/decisions", json=ranked(1.0, decision_id="mine"))
    mixed = {"decisions": [ranked(1.0), ranked(1.0, decision_id="mine")]}
    conflict = await http.post("/v1/decisions/batch", json=mixed)
    assert (conflict.status_code, conflict.json()["errors"][0]["index"]) == (409, 1)
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert batch.json()["decisions"][0] == replies[0].json()
    assert (other.status_code, other.json()["errors"][0]["field"]) == (409, "decision_id")
    logged = by_id(await read_topic(topics, "decisions"))
    assert "mine" in logged
    assert len(logged) == 2


async def test_a_batch_mixes_applications_and_is_answered_in_order(
    http: httpx.AsyncClient, topics: BrokerSettings
) -> None:
    asked = [request(subject_id=f"s-{i}") if i % 3 else ranked(1.0, 2.0) for i in range(1000)]
    reply = await http.post("/v1/decisions/batch", json={"decisions": asked})
    assert reply.status_code == 200
    decisions = reply.json()["decisions"]
    logged = by_id(await read_topic(topics, "decisions"))
    assert len(decisions) == len(logged) == 1000
    for one, decision in zip(asked, decisions, strict=True):
        assert problems(decision) == []
        record = logged[decision["decision_id"]]
        assert (record["application"], record["subject_id"]) == (one["application"], one["subject_id"])
        assert record["action"] == decision["action"]
        names = record["actions"] or ACTIONS
        assert dict(zip(names, record["probabilities"], strict=True)) == decision["probabilities"]
    rank = next(record for record in logged.values() if record["application"] == "ranking")
    assert rank["actions"] == ["item-0", "item-1"]
    assert rank["action_features"] == [1.0, 0.0, 2.0, 1.0]


async def test_an_activation_is_an_interaction_of_the_platform(
    http: httpx.AsyncClient, topics: BrokerSettings
) -> None:
    for _ in range(2):
        reply = await http.post("/v1/decisions/d%2F7/activation", json={"application": "shop"})
        assert (reply.status_code, reply.json()["activated"]) == (200, True)
    first, second = await read_topic(topics, "interactions")
    assert first["_raw"] == second["_raw"]
    assert first["interaction_id"] == first["type"] == "$activation"
    assert (first["decision_id"], first["_key"], first["application"]) == ("d/7", b"d/7", "shop")
    wrong = await http.post("/v1/decisions/d-7/activation", json={"application": "shoe"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "application")


async def test_bad_requests_are_4xx_and_leave_nothing_in_the_log(
    http: httpx.AsyncClient, topics: BrokerSettings
) -> None:
    bodies = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        b'{"decisions": 7}',
        json.dumps(request(context={"age": math.nan, "device": "phone"})).encode(),
        json.dumps(request(application="nobody")).encode(),
        json.dumps(request(context={"age": 1, "device": "phone", "x": 1})).encode(),
        json.dumps({"decisions": [request(subject_id="")] * 3}).encode(),
        json.dumps({"decisions": [request()] * 1001}).encode(),
        b" " * (5 << 20),
    ]
    for path in ("/v1/decisions", "/v1/decisions/batch", "/v1/decisions/d-1/activation"):
        for body in bodies:
            reply = await http.post(path, content=body)
            assert 400 <= reply.status_code < 500, (path, body[:100], reply.text)
            assert reply.json()["errors"]
    many = [{"action": f"i{n}", "features": {"price": n, "rank": n}} for n in range(9_000)]
    large = await http.post("/v1/decisions", json=ranked(1.0, actions=many) | {"subject_id": "s"})
    assert large.status_code in (200, 422)
    assert (await http.get("/v1/decisions")).status_code in (404, 405)
    logged = await read_topic(topics, "decisions")
    assert len(logged) == (1 if large.status_code == 200 else 0)
    assert await read_topic(topics, "interactions") == []


async def test_a_decision_too_large_for_a_record_is_refused_by_its_field(http: httpx.AsyncClient) -> None:
    many = [{"action": f"{n:0100d}", "features": {"price": n, "rank": n}} for n in range(10_000)]
    reply = await http.post("/v1/decisions", json=ranked(1.0, actions=many))
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (422, "actions")


async def test_what_is_served_can_be_asked(http: httpx.AsyncClient) -> None:
    listed = {each["application"]: each for each in (await http.get("/v1/policies")).json()["policies"]}
    assert {"shop", "ranking"} <= listed.keys()
    one = (await http.get("/v1/policies/shop")).json()
    assert one == listed["shop"]
    assert (one["version"], one["offsets"], one["mean_rewards"]) == (0, [], [None] * 3)
    assert (await http.get("/v1/policies/nobody")).status_code == 404


async def test_the_probes_the_metrics_and_the_openapi_page_answer(http: httpx.AsyncClient) -> None:
    await http.post("/v1/decisions", json=request())
    for path in ("/healthz", "/readyz", "/docs"):
        assert (await http.get(path)).status_code == 200
    metrics = (await http.get("/metrics")).text
    assert 'streamwheel_decision_seconds_count{application="shop"} 1.0' in metrics
    assert 'streamwheel_records_out_total{topic="decisions"} 1.0' in metrics
    assert "streamwheel_spool_records 0.0" in metrics
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {
        "/v1/decisions",
        "/v1/decisions/batch",
        "/v1/decisions/{decision_id}/activation",
        "/v1/policies",
    } <= paths.keys()


async def test_keys_are_asked_of_everything_but_the_probes(topics: BrokerSettings, folder: Path) -> None:
    async with running(topics, folder, STREAMWHEEL_API_KEYS="one,two") as api:
        async with httpx.AsyncClient(base_url=api.url) as http:
            assert (await http.post("/v1/decisions", json=request())).status_code == 401
            keyed = await http.post("/v1/decisions", json=request(), headers={"X-API-Key": "two"})
            assert keyed.status_code == 200
            assert (await http.get("/metrics")).status_code == 401
        assert await api.stop() == 0


async def test_policies_are_swapped_while_requests_run_and_versions_only_grow(
    http: httpx.AsyncClient, topics: BrokerSettings, folder: Path
) -> None:
    shop = load([folder / "applications"])["shop"]
    learners = [taught(shop, 40, likes=2), new_learner(shop)]
    replies: list[dict[str, Any]] = []
    done = asyncio.Event()

    async def ask() -> None:
        version = 0
        while not done.is_set():
            reply = await http.post("/v1/decisions", json=request())
            assert reply.status_code == 200
            replies.append(reply.json())
            assert replies[-1]["policy"]["version"] >= version
            version = replies[-1]["policy"]["version"]

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    for sequence in range(1, 6):
        teach(learners[0], 300, likes=2)
        if learners[0].scaling is not None and learners[1].scaling is None:
            learners[1].set_scaling(learners[0].scaling)
        teach(learners[1], 100, likes=2)
        await publish_updates(topics, snapshots(shop, learners, sequence))
        want = sum(learner.learnt for learner in learners)
        await until(partial(_served, http, want))
    done.set()
    await asyncio.gather(*asking)

    assert all(problems(reply) == [] for reply in replies)
    name = policy_name(shop)
    assert {reply["policy"]["name"] for reply in replies} == {name}
    versions = [reply["policy"]["version"] for reply in replies]
    assert len(set(versions)) >= 4
    assert versions[-1] == 2040
    assert replies[-1]["probabilities"]["mail"] > 0.8
    for record in await read_topic(topics, "decisions"):
        assert record["policy_version"] == sum(record["policy_offsets"])
        assert len(record["policy_offsets"]) == (2 if record["policy_version"] else 0)
    described = (await http.get("/v1/policies/shop")).json()
    assert described["offsets"] == [1540, 500]
    assert described["rewards_learnt"] == 2040
    assert described["learnt_at"] is not None
    assert described["mean_rewards"] == pytest.approx([0, 0, 1], abs=0.05)


async def _served(http: httpx.AsyncClient, version: int) -> bool:
    found: int = (await http.get("/v1/policies/shop")).json()["version"]
    return found == version


async def test_versions_are_those_of_the_log_after_a_restart(topics: BrokerSettings, folder: Path) -> None:
    shop = load([folder / "applications"])["shop"]
    await publish_updates(topics, snapshots(shop, [taught(shop, 500)]))
    learnt = {("shop", policy_name(shop)): 77}
    await publish_updates(topics, [progress_record(1, sequence=1, next_offset=77, learnt=learnt)])
    for _ in range(2):
        async with running(topics, folder) as api, httpx.AsyncClient(base_url=api.url) as http:
            reply = (await http.post("/v1/decisions", json=request())).json()
            assert reply["policy"]["version"] == 577
            assert await api.stop() == 0
    assert read_segment(folder / "state" / "policies.cache")[0]


async def test_a_broken_policy_update_is_counted_and_passed_over(
    http: httpx.AsyncClient, topics: BrokerSettings, folder: Path
) -> None:
    shop = load([folder / "applications"])["shop"]
    (key, record), *others = snapshots(shop, [taught(shop, 500)])
    assert not others
    broken = [
        (b"x", {**record, "payload": b"garbage", "sequence": 1}),
        (b"y", {**record, "kind": "nonsense"}),
    ]
    await publish_updates(topics, [*broken, (key, {**record, "sequence": 2})])
    await until(lambda: _served(http, 500))
    dead = 'streamwheel_records_dead_total{reason="malformed",topic="policy-updates"} 2.0'
    await until_measured(http, dead)


async def test_without_topics_it_serves_what_it_knows_and_finds_them_once_they_are_there(
    names: BrokerSettings, folder: Path
) -> None:
    shop = load([folder / "applications"])["shop"]
    api = Api(names, folder)
    api.start()
    try:
        async with httpx.AsyncClient(base_url=api.url, timeout=30) as http:
            await until(lambda: _answers(http), limit=60)
            reply = await http.post("/v1/decisions", json=request())
            assert (reply.status_code, reply.json()["policy"]["version"]) == (200, 0)
            ensure_topics(names)
            await publish_updates(names, snapshots(shop, [taught(shop, 500)]))
            await until(lambda: _served(http, 500), limit=60)
            await until(lambda: _logged(names, 1), limit=60)
        assert await api.stop() == 0
    finally:
        api.kill()


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def _logged(names: BrokerSettings, count: int) -> bool:
    return len(await read_topic(names, "decisions")) == count
