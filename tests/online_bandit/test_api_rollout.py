"""Deployments on a real Kafka: candidates decide for their share of subjects, and stop at once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.serving import DiscretePolicy, load_policy
from shared.broker.settings import BrokerSettings
from shared.core.rollout.assignment import is_canary
from shared.core.verify import problems
from tests.online_bandit.candidates import KEY, deploy, deployed, deployment, shop_candidate
from tests.online_bandit.processes import Api, read_topic, running, until
from tests.online_bandit.shop import request, write_applications


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


async def serves(http: httpx.AsyncClient, arm: str, policy: str | None) -> bool:
    arms = (await described(http))["arms"]
    return bool(arms.get(arm, {"policy": None})["policy"] == policy)


async def decide_all(http: httpx.AsyncClient, n: int = 200, **changes: Any) -> list[dict[str, Any]]:
    asked = [request(subject_id=f"s-{i}", decision_id=f"r-{i}", **changes) for i in range(n)]
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
    await until(lambda: serves(http, "canary", canary.id))
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
