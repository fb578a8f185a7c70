"""Deployments on a real Kafka: candidates decide for their share of subjects, and stop at once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import httpx
import numpy as np
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.serving import DiscretePolicy, load_policy
from shared.applications.policies import policy_name
from shared.applications.registry import load
from shared.broker.node_files import HOST
from shared.broker.settings import BrokerSettings
from shared.core.rollout.assignment import is_canary
from shared.core.verify import problems
from shared.wire.rollouts import Deployed
from tests.online_bandit.candidates import KEY, deploy, deployed, deployment, shop_candidate, write
from tests.online_bandit.processes import Api, read_topic, running
from tests.online_bandit.shop import request, write_applications
from tests.ports import own_ports
from tests.waiting import until


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    root = tmp_path_factory.mktemp("artefacts")
    return {likes: shop_candidate(root, likes) for likes in ("mail", "popup")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_applications(tmp_path / "applications")
    return tmp_path


@pytest.fixture
async def api(topics: BrokerSettings, folder: Path) -> AsyncIterator[Api]:
    async with running(topics, folder, STREAMWHEEL_ASSIGNMENT_KEY=KEY) as started:
        yield started


@pytest.fixture
async def http(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, timeout=30) as client:
        yield client


async def described(http: httpx.AsyncClient, application: str = "shop") -> dict[str, Any]:
    document: dict[str, Any] = (await http.get(f"/v1/policies/{application}")).json()
    return document


async def metric(http: httpx.AsyncClient, line: str) -> float | None:
    lines = (await http.get("/metrics")).text.splitlines()
    return next((float(each.split()[-1]) for each in lines if each.startswith(f"streamwheel_{line} ")), None)


async def obeys(http: httpx.AsyncClient, sequence: int) -> bool:
    """Whether this deployment is obeyed as it stands."""
    found = await described(http)
    deployment = found["deployment"]
    return deployment is not None and deployment["sequence"] == sequence and found["problems"] == []


async def troubled(http: httpx.AsyncClient, *expected: tuple[str, str]) -> bool:
    """Whether the shop's arms have exactly these (arm, reason) of problems."""
    found = (await described(http))["problems"]
    return [(each["arm"], each["reason"]) for each in found] == list(expected)


async def serves(http: httpx.AsyncClient, arm: str, policy: str | None) -> bool:
    arms = (await described(http))["arms"]
    return bool(arms.get(arm, {"policy": None})["policy"] == policy)


async def decide_all(http: httpx.AsyncClient, n: int = 200, prefix: str = "r") -> list[dict[str, Any]]:
    asked = [request(subject_id=f"s-{i}", decision_id=f"{prefix}-{i}") for i in range(n)]
    reply = await http.post("/v1/decisions/batch", json={"decisions": asked})
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["decisions"]
    return found


async def test_a_canary_decides_for_its_share_of_subjects_and_is_logged_with_both_arms_in_mind(
    http: httpx.AsyncClient, topics: BrokerSettings, candidates: dict[str, Artefact]
) -> None:
    stable, canary = candidates["popup"], candidates["mail"]
    rollout = deployment(7, deployed(stable), canary=deployed(canary), share=0.3, salt="r-7", stage="30 %")
    await deploy(topics, rollout)
    await until(lambda: obeys(http, 7))
    replies = await decide_all(http)
    single = await http.post("/v1/decisions", json=request(subject_id="s-0"))
    policies = {name: load_policy(each.folder) for name, each in (("stable", stable), ("canary", canary))}
    logged = {record["decision_id"]: record for record in await read_topic(topics, "decisions")}
    assert single.json()["rollout"] == replies[0]["rollout"]
    for number, reply in enumerate(replies):
        record = logged[reply["decision_id"]]
        arm = "canary" if is_canary(f"s-{number}", 0.3, "r-7", KEY.encode()) else "stable"
        share = 0.3 if arm == "canary" else 0.7
        assert reply["rollout"] == {"arm": arm, "share": share}
        assert reply["policy"] == {"name": {"stable": stable, "canary": canary}[arm].id, "version": 1}
        assert problems(reply) == []
        context = np.array([record["context"]], np.float64)
        rows = {}
        for name, policy in policies.items():
            assert isinstance(policy, DiscretePolicy)
            rows[name] = dict(zip(policy.actions, policy.probabilities(context)[0], strict=True))
        assert reply["probabilities"] == pytest.approx(rows[arm], abs=1e-12)
        mixture = 0.3 * rows["canary"][reply["action"]] + 0.7 * rows["stable"][reply["action"]]
        assert record["mixture_propensity"] == pytest.approx(mixture, abs=1e-12)
        assert (record["arm"], record["share"]) == (arm, share)
        assert (record["policy"], record["policy_version"]) == (reply["policy"]["name"], 1)
        assert record["propensity"] == reply["propensity"]
    arms = [reply["rollout"]["arm"] for reply in replies]
    assert 35 <= arms.count("canary") <= 85
    assert "parameters" not in replies[0]
    labels = 'application="shop",arm="canary",policy="linear"'
    assert await metric(http, f"decisions_total{{{labels}}}") == arms.count("canary")
    assert await metric(http, 'deployment_sequence{application="shop"}') == 7
    for arm in ("stable", "canary"):  # a batch is one pass through each
        assert await metric(http, f'arm_seconds_count{{application="shop",arm="{arm}"}}') == 2


async def test_a_canary_that_is_not_verified_decides_nothing_and_a_new_record_has_it_tried_again(
    http: httpx.AsyncClient, topics: BrokerSettings, candidates: dict[str, Artefact], tmp_path: Path
) -> None:
    good, broken = candidates["mail"], tmp_path / candidates["mail"].id
    shutil.copytree(good.folder, broken)
    (broken / "policy.json").write_bytes((broken / "policy.json").read_bytes() + b" ")
    canary = replace(deployed(good), artefact=str(broken))
    more = {"canary": canary, "share": 1.0, "salt": "r"}
    await deploy(topics, deployment(1, **more))
    await until(lambda: troubled(http, ("canary", "not-verified")))
    assert {reply["policy"]["version"] for reply in await decide_all(http)} == {0}
    assert (await http.get("/readyz")).status_code == 200
    assert await metric(http, 'arm_replaced{application="shop",arm="canary"}') == 1
    failures = 'artefact_failures_total{application="shop",reason="not-verified"}'
    assert await metric(http, failures) == 1

    (broken / "policy.json").write_bytes((good.folder / "policy.json").read_bytes())
    await deploy(topics, deployment(2, **more))
    await until(lambda: obeys(http, 2))
    assert {reply["policy"]["name"] for reply in await decide_all(http, prefix="again")} == {good.id}

    await deploy(topics, deployment(3, deployed(good), blocked=(good.id,)))
    await until(lambda: troubled(http, ("stable", "blocked")))
    assert {reply["policy"]["version"] for reply in await decide_all(http, prefix="blocked")} == {0}
    assert (await described(http))["deployment"]["blocked"] == [good.id]


async def test_going_back_to_the_online_policy_is_a_rollout_as_any_other(
    http: httpx.AsyncClient, topics: BrokerSettings, candidates: dict[str, Artefact], folder: Path
) -> None:
    stable, online = candidates["mail"], policy_name(load([folder / "applications"])["shop"])
    await deploy(topics, deployment(1, deployed(stable), canary=Deployed(online), share=0.5, salt="r"))
    await until(lambda: obeys(http, 1))
    names = {reply["rollout"]["arm"]: reply["policy"]["name"] for reply in await decide_all(http)}
    assert names == {"stable": stable.id, "canary": online}
    await deploy(topics, deployment(2, Deployed(online)))
    await until(lambda: obeys(http, 2))
    assert all(reply["rollout"] is None for reply in await decide_all(http, prefix="after"))


async def test_without_a_key_nobody_gets_a_canary_and_it_says_so(
    topics: BrokerSettings, folder: Path, candidates: dict[str, Artefact]
) -> None:
    canary = deployed(candidates["mail"])
    await deploy(topics, deployment(1, canary=canary, share=0.5, salt="r"))
    async with (
        running(topics, folder, STREAMWHEEL_ASSIGNMENT_KEY="") as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        assert await troubled(http, ("canary", "no-key"))
        assert all(reply["rollout"] is None for reply in await decide_all(http))


async def test_records_that_are_older_or_no_deployments_change_nothing(
    http: httpx.AsyncClient, topics: BrokerSettings, candidates: dict[str, Artefact]
) -> None:
    canary = candidates["mail"]
    newer = deployment(8, canary=deployed(canary), share=1.0, salt="r")
    await deploy(topics, newer)
    await until(lambda: serves(http, "canary", canary.id))
    await write(topics, (b"shop", b"garbage"), (b"shop", deployment(7).encode()), (b"ranking", b""))
    await until(lambda: _is(http, 'records_in_total{topic="deployments"}', 4.0))
    assert await metric(http, 'records_dead_total{reason="bad-marker",topic="deployments"}') == 2
    assert await serves(http, "canary", canary.id)
    await write(topics, (b"shop", None))
    await until(lambda: serves(http, "canary", None))
    assert (await described(http))["deployment"] is None


async def _is(http: httpx.AsyncClient, line: str, value: float) -> bool:
    return await metric(http, line) == value


async def test_a_canary_decides_no_more_within_a_second_of_the_record_that_ends_it_under_load(
    http: httpx.AsyncClient, topics: BrokerSettings, candidates: dict[str, Artefact]
) -> None:
    canary = deployed(candidates["mail"])
    await deploy(topics, deployment(1, canary=canary, share=0.5, salt="r"))
    await until(lambda: serves(http, "canary", canary.policy))
    for sequence, end in ((2, {"canary": canary, "share": 0.0, "salt": "r"}), (4, {})):
        answers: list[tuple[float, str | None]] = []
        done = asyncio.Event()

        async def ask(
            number: int, done: asyncio.Event = done, answers: list[tuple[float, str | None]] = answers
        ) -> None:
            while not done.is_set():
                asked = request(subject_id=f"s-{number}-{len(answers)}")
                reply = (await http.post("/v1/decisions", json=asked)).json()
                answers.append((perf_counter(), (reply["rollout"] or {}).get("arm")))

        asking = [asyncio.create_task(ask(number)) for number in range(8)]
        await until(partial(_seen, answers, "canary", 20))
        began = await deploy(topics, deployment(sequence, **end))
        await until(partial(_seen, answers, None, 100))
        done.set()
        await asyncio.gather(*asking)
        assert max(at for at, arm in answers if arm == "canary") - began < 1.0
        await deploy(topics, deployment(sequence + 1, canary=canary, share=0.5, salt="r"))
        await until(lambda: serves(http, "canary", canary.policy))


async def _seen(answers: list[tuple[float, str | None]], arm: str | None, count: int) -> bool:
    return sum(each == arm for _, each in answers) >= count


async def test_deployments_hold_over_a_restart_without_kafka(
    topics: BrokerSettings, folder: Path, candidates: dict[str, Artefact]
) -> None:
    stable, canary = candidates["popup"], candidates["mail"]
    await deploy(topics, deployment(4, deployed(stable), canary=deployed(canary), share=0.5, salt="r"))
    async with (
        running(topics, folder, STREAMWHEEL_ASSIGNMENT_KEY=KEY) as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        before = await decide_all(http)
        assert await api.stop() == 0
    nowhere = BrokerSettings(broker=f"{HOST}:{own_ports()}")
    async with (
        running(nowhere, folder, STREAMWHEEL_ASSIGNMENT_KEY=KEY) as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        after = await decide_all(http, prefix="later")
        assert [each["rollout"] for each in after] == [each["rollout"] for each in before]
        assert {each["policy"]["name"] for each in after} == {stable.id, canary.id}
        assert (await described(http))["deployment"]["sequence"] == 4
