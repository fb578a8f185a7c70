"""Commands over HTTP and on the command line: done once they are in the log, refused by name otherwise."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.broker.settings import BrokerSettings
from tests.deployer.auditing import check
from tests.deployer.processes import (
    applications,
    artefact,
    audit,
    deploying,
    deployments,
    evaluation,
    happened,
    rolled_out,
    submit,
)

SHARES = [0.0, 0.1, 0.5, 1.0, 1.0]
MANUAL = {"rollout:\n": "rollout:\n  automatic: false\n", "bake: ": "bake: 9"}


@pytest.fixture
async def served(names: BrokerSettings, tmp_path: Path) -> Any:
    """The API alone, with a Kafka that nobody is asked for."""
    from services.deployer.__main__ import Leader, build
    from services.deployer.settings import DeployerSettings

    applications(tmp_path / "applications")
    settings = DeployerSettings(applications=tmp_path / "applications", kafka_limit="50ms", api_keys="k")
    app = build(settings, names, Leader())
    transport, headers = httpx.ASGITransport(app), {"X-API-Key": "k"}
    async with httpx.AsyncClient(transport=transport, base_url="http://deployer", headers=headers) as http:
        yield http


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "rollouts/nothing", None, 404, "there is no 'nothing'"),
        ("GET", "rollouts/nothing/events", None, 404, "there is no 'nothing'"),
        ("GET", "rollouts/shop/events?most=0", None, 422, "most"),
        ("POST", "rollouts/nothing/abort", None, 404, "there is no 'nothing'"),
        ("POST", "rollouts/shop/explode", None, 422, "verb"),
        ("POST", "rollouts/shop/abort", {"who": "ann"}, 422, "who"),
        ("POST", "rollouts/shop/abort", {"reason": "x" * 1001}, 422, "reason"),
        ("PUT", "blacklist/nothing/p", {"reason": "bad"}, 404, "there is no 'nothing'"),
        ("PUT", "blacklist/shop/p", {}, 422, "reason"),
        ("PUT", "blacklist/shop/p", {"reason": "bad", "until": "2030-01-01T00:00:00"}, 422, "until"),
        ("POST", "arms/nothing/banner/reset", None, 404, "there is no 'nothing'"),
        ("POST", "arms/shop/banner/reset", {"policy": "p"}, 422, "policy"),
        ("POST", "arms/shop/banner/reset", {"by": "x" * 201}, 422, "by"),
        ("GET", "rollouts", None, 503, "another deployer leads"),
        ("GET", "rollouts/shop", None, 503, "another deployer leads"),
        ("POST", "rollouts/shop/abort", None, 503, "look whether it was done"),
    ],
)
async def test_what_is_wrong_is_refused_by_name(
    served: httpx.AsyncClient, method: str, path: str, body: Any, status: int, words: str
) -> None:
    reply = await served.request(method, f"/v1/{path}", json=body)
    assert reply.status_code == status
    assert any(words in f"{error['field']}: {error['message']}" for error in reply.json()["errors"])


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}])
async def test_without_a_key_nothing_is_told_or_done(
    served: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    del served.headers["X-API-Key"]
    for method, path in (
        ("GET", "rollouts"),
        ("POST", "rollouts/shop/abort"),
        ("DELETE", "blacklist/shop/p"),
        ("POST", "arms/shop/banner/reset"),
    ):
        assert (await served.request(method, f"/v1/{path}", headers=headers)).status_code == 401


async def command(http: httpx.AsyncClient, verb: str, **body: str) -> tuple[int, Any]:
    reply = await http.post(f"/v1/rollouts/shop/{verb}", json={"by": "ann", **body})
    return reply.status_code, reply.json()


async def become_stable(http: httpx.AsyncClient, policy: str) -> None:
    assert (await command(http, "promote", policy=policy))[0] == 200
    for _ in SHARES:
        assert (await command(http, "promote"))[0] == 200
    assert (await http.get("/v1/rollouts/shop")).json()["stable"] == policy


async def test_people_decide_where_nothing_is_automatic(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications", MANUAL)
    first, second, third, failed = (artefact(tmp_path, n) for n in range(4))
    async with deploying(topics, tmp_path) as (_, http):
        await submit(topics, *map(evaluation, (first, second, third)), evaluation(failed, verdict="fail"))
        held = [each for each in await happened(topics, "held", 3) if each.what == "held"]
        assert [each.policy for each in held] == [first.id, second.id, third.id]
        assert "waits for somebody to promote" in held[0].cause
        board = await rolled_out(http, waiting=[first.id, second.id, third.id])
        assert board["rollout"] is None

        for verb in ("abort", "pause", "resume", "promote"):
            status, said = await command(http, verb)
            assert (status, said["errors"][0]["message"]) == (409, "nothing is being rolled out")
        assert (await command(http, "rollback"))[0] == 409
        assert (await command(http, "thaw"))[0] == 409
        status, said = await command(http, "promote", policy="nobody")
        assert (status, said["errors"][0]["message"]) == (404, "there is no policy nobody")
        status, said = await command(http, "promote", policy=failed.id)
        assert (status, "says fail" in said["errors"][0]["message"]) == (409, True)

        await become_stable(http, first.id)
        await become_stable(http, second.id)
        assert (await command(http, "promote", policy=third.id))[0] == 200
        assert (await command(http, "pause", reason="lunch"))[0] == 200
        assert (await command(http, "pause"))[0] == 409
        assert (await command(http, "promote"))[0] == 409
        assert (await command(http, "resume"))[0] == 200
        assert (await command(http, "abort", policy=second.id))[0] == 409
        assert (await command(http, "freeze"))[0] == 200
        assert (await command(http, "promote"))[0] == 409
        assert (await command(http, "rollback", reason="it harms"))[0] == 200
        assert (await command(http, "promote", policy=third.id))[0] == 200  # queued until it thaws
        assert (await http.get("/v1/rollouts/shop")).json()["queue"] == [third.id]
        status, said = await command(http, "thaw")
        assert said["rollout"]["policy"] == third.id
        assert (await command(http, "abort"))[0] == 200

        (Path(first.folder) / "weights.json").write_text("[666]")
        status, said = await command(http, "rollback", reason="complaints")
        assert (status, said["stable"]) == (200, "default")
        assert [each["what"] for each in said["events"]] == ["blacklisted", "reverted"]
        assert "weights.json: is not the file of the manifest" in said["events"][0]["cause"]
        status, said = await command(http, "promote", policy=first.id)
        assert (status, "cannot be used" in said["errors"][0]["message"]) == (409, True)
        events = await audit(topics)
    check(events, await deployments(topics), SHARES)
    refused = [each for each in events if each.what == "refused"]
    assert len(refused) == 13
    assert {each.by for each in refused} == {"ann"}
    assert next(each.cause for each in events if each.what == "paused") == "lunch"


async def test_the_blacklist_has_reasons_and_ends(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications", MANUAL)
    first, second = (artefact(tmp_path, n) for n in range(2))
    async with deploying(topics, tmp_path) as (_, http):
        await submit(topics, evaluation(first), evaluation(second))
        await happened(topics, "held", 2)
        await become_stable(http, first.id)
        await command(http, "promote", policy=second.id)

        async def put(policy: str, **body: Any) -> httpx.Response:
            return await http.put(f"/v1/blacklist/shop/{policy}", json={"reason": "it is rude", **body})

        assert (await put("default")).status_code == 409
        assert (await put("nobody")).status_code == 404
        until = datetime(2031, 1, 1, tzinfo=UTC)
        said = (await put(second.id, until=until.isoformat())).json()
        assert said["blacklist"] == [
            {"policy": second.id, "reason": "it is rude", "until": until.timestamp()}
        ]
        assert [each["what"] for each in said["events"]] == ["blacklisted", "rolled-back"]
        said = (await put(first.id)).json()
        assert (said["stable"], said["blacklist"][1]["until"]) == ("default", None)
        assert (await command(http, "promote", policy=second.id))[0] == 409
        assert (await http.delete(f"/v1/blacklist/shop/{second.id}?by=bob")).status_code == 200
        assert (await http.delete(f"/v1/blacklist/shop/{second.id}")).status_code == 409
        assert (await command(http, "promote", policy=second.id))[0] == 200
        last = (await deployments(topics))[-1]
        assert (last.blocked, last.canary.policy if last.canary else "") == ((first.id,), second.id)
    check(await audit(topics), await deployments(topics), SHARES)


def streamwheel(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"STREAMWHEEL_API_KEYS": "k"}
    command = [sys.executable, "-m", "shared.cli", "rollout", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


async def test_the_command_line_says_json_and_why_not(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications", MANUAL)
    first = artefact(tmp_path, 1)
    async with deploying(topics, tmp_path, STREAMWHEEL_API_KEYS="k") as (process, _):
        base = ("--port-base", str(process.port - 3))
        await submit(topics, evaluation(first))
        await happened(topics, "held")

        async def said(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(streamwheel, *arguments, *base)

        promoted = await said("promote", "shop", "--policy", first.id, "--reason", "it looks good")
        assert promoted.returncode == 0, promoted.stderr
        assert json.loads(promoted.stdout)["rollout"]["stage"] == "shadow"
        refused, unknown, status = await asyncio.gather(
            said("resume", "shop"), said("abort", "nothing"), said("status", "shop")
        )
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "409: the rollout is not paused" in refused.stderr
        assert (unknown.returncode, "there is no 'nothing'" in unknown.stderr) == (2, True)
        assert json.loads(status.stdout)["rollout"]["policy"] == first.id
        blocked = await said("block", "shop", first.id, "--reason", "rude")
        assert json.loads(blocked.stdout)["blacklist"][0]["reason"] == "rude"
        lines = [json.loads(line) for line in (await said("history", "shop")).stdout.splitlines()]
    assert [each["what"] for each in lines] == [
        "held", "queued", "started", "refused", "blacklisted", "rolled-back",
    ]  # fmt: skip
    assert lines[1]["cause"] == "it looks good"


async def test_an_arm_is_reset_once_it_is_in_the_audit(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications")
    async with deploying(topics, tmp_path) as (process, http):
        reply = await http.post("/v1/arms/shop/banner/reset", json={"by": "ann", "reason": "another prompt"})
        assert reply.status_code == 200
        (line,) = reply.json()["events"]
        unknown = await http.post("/v1/arms/shop/poster/reset", json={"by": "ann"})
        assert unknown.status_code == 404
        (problem,) = unknown.json()["errors"]
        assert problem["field"] == "action"
        assert problem["message"] == "shop has no action 'poster'; it has banner, list"
        command = [sys.executable, "-m", "shared.cli", "reset-arm", "shop", "list"]
        where = ["--port-base", str(process.port - 3), "--reason", "it too"]
        said = await asyncio.to_thread(
            subprocess.run, [*command, *where], capture_output=True, text=True, timeout=60
        )
        assert said.returncode == 0, said.stderr
        command[-1] = "poster"
        said = await asyncio.to_thread(
            subprocess.run, [*command, *where], capture_output=True, text=True, timeout=60
        )
        assert (said.returncode, "no action 'poster'" in said.stderr) == (2, True)
    events = await audit(topics)
    assert [(each.what, each.action) for each in events] == [
        ("reset", "banner"),
        ("refused", "poster"),
        ("reset", "list"),
        ("refused", "poster"),
    ]
    first = events[0]
    assert (first.by, first.cause, first.policy, first.sequence) == ("ann", "another prompt", "default", 0)
    assert line["at"] == first.at < events[2].at
    check(events, await deployments(topics), SHARES)
