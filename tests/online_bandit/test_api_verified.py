"""Replies of a running decision API, verified against the log by whoever wants to."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from shared.applications.policies import new_learner
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.cli.audit.learning import learnable
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from tests.online_bandit.candidates import KEY, deploy, deployed, deployment, shop_candidate
from tests.online_bandit.processes import publish_updates, running
from tests.online_bandit.rewards import append, rewards
from tests.online_bandit.shop import request, snapshots, write_applications
from tests.waiting import until

REWARDS = 50
"""Of each of two partitions."""


async def teach(broker: BrokerSettings, folder: Path) -> None:
    """Rewards, and what a learner publishes of them."""
    shop = load([folder])["shop"]
    values = {number: rewards(shop, REWARDS, number) for number in range(2)}
    await append(broker, values)
    learners = [new_learner(shop) for _ in values]
    for learner, part in zip(learners, values.values(), strict=True):
        rows = learnable(shop, decode_columns(schema("rewards"), part).frame)
        learner.learn(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times)
    scaling = learners[0].propose_scaling()
    assert scaling is not None
    for learner in learners:
        learner.set_scaling(scaling)
    await publish_updates(broker, snapshots(shop, learners))


async def verified(
    broker: BrokerSettings, folder: Path, replies: list[dict[str, Any]], key: str = KEY
) -> list[dict[str, Any]]:
    """What `streamwheel verify-decision --log` says of each."""
    file = folder / "replies.json"
    file.write_text("\n".join(map(json.dumps, replies)))
    environment = os.environ | {
        "STREAMWHEEL_BROKER": broker.broker,
        "STREAMWHEEL_TOPIC_PREFIX": broker.topic_prefix,
        "STREAMWHEEL_ASSIGNMENT_KEY": key,
    }
    words = ["verify-decision", str(file), "--log", "--applications", str(folder / "applications")]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shared.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(replies), done.stderr
    assert done.returncode == int(not all(each["verified"] for each in said))
    return said


async def test_what_a_rollout_decided_is_worked_out_again_from_the_log(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    await teach(topics, write_applications(tmp_path / "applications"))
    canary = shop_candidate(tmp_path / "artefacts")
    async with (
        running(topics, tmp_path, STREAMWHEEL_ASSIGNMENT_KEY=KEY) as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        await deploy(topics, deployment(3, canary=deployed(canary), share=0.5, salt="shop-2"))

        async def both() -> bool:
            found = (await http.get("/v1/policies/shop")).json()
            return found["version"] == 2 * REWARDS and "canary" in found["arms"]

        await until(both)
        asked = [request(subject_id=f"s-{n}", decision_id=f"d-{n}") for n in range(40)]
        reply = await http.post("/v1/decisions/batch", json={"decisions": asked})
        replies = reply.json()["decisions"]
    assert {each["policy"]["version"] for each in replies} == {1, 2 * REWARDS}

    assert all(each["verified"] for each in await verified(topics, tmp_path, replies))
    told = await verified(topics, tmp_path, replies, key="not this one")
    assert 5 < sum("belongs to" in str(each["problems"]) for each in told) < 35
    assert all(each["verified"] or "belongs to" in each["problems"][0] for each in told)

    arm = replies[0]["rollout"]["arm"]
    other = {"arm": "stable" if arm == "canary" else "canary", "share": 0.5}
    lies = [
        replies[0] | {"rollout": other},
        replies[1] | {"rollout": {**replies[1]["rollout"], "share": 1.5}},
        replies[2] | {"decision_id": "never-made"},
        replies[3],
    ]
    told = await verified(topics, tmp_path, lies)
    assert f"arm is '{other['arm']}', the log has '{arm}'" in told[0]["problems"]
    assert any("not in (0, 1]" in each for each in told[1]["problems"])
    assert "is not in the log" in told[2]["problems"]
    assert told[3]["verified"]

    policy = next((canary.folder).glob("policy.json"))
    policy.write_text(policy.read_text() + " ")
    told = await verified(topics, tmp_path, replies)
    canaries = [each["rollout"]["arm"] == "canary" for each in replies]
    assert [("cannot be asked again" in str(each["problems"])) for each in told] == [True] * len(canaries)
