"""The trainer over HTTP, and the commands that ask it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.archive.archive import Archive
from shared.archive.reading import archived, read_rewards
from shared.broker.settings import BrokerSettings
from shared.cli.addresses import OFFSETS
from shared.cli.topic_log import open_log
from shared.cli.training_log import jobs
from tests.trainer.processes import (
    FAKE,
    TrainerProcess,
    answers,
    applications,
    ask,
    behave,
    give_rewards,
    request,
    training,
)
from tests.waiting import until


def streamwheel(broker: BrokerSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "STREAMWHEEL_BROKER": broker.broker,
        "STREAMWHEEL_TOPIC_PREFIX": broker.topic_prefix,
    }
    command = [sys.executable, "-m", "shared.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("nothing", {}, 404, "there is no 'nothing'"),
        ("shop", {"algorithm": "alchemy"}, 422, "'alchemy' is unknown"),
        ("shop", {"parameters": {"ridge": -1}}, 422, "ridge: Input should be greater than 0"),
        ("shop", {"parameters": [1]}, 422, "parameters"),
        ("shop", {"days": 0}, 422, "days"),
        ("shop", {"day": 3}, 422, "day"),
        ("shop", {"request_id": ""}, 422, "request_id"),
        (
            "shop",
            {"data": [{"partition": 0, "first_offset": 5, "next_offset": 5}]},
            422,
            "data[0].next_offset",
        ),
    ],
)
async def test_what_is_wrong_is_refused_by_name(
    served: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    reply = await served.post(f"/v1/retrain/{path}", json=body)
    assert reply.status_code == status
    assert any(words in f"{error['field']}: {error['message']}" for error in reply.json()["errors"])


@pytest.fixture
async def served(names: BrokerSettings, tmp_path: Path) -> Any:
    """The API alone, with a Kafka that nobody is asked for."""
    from services.trainer.__main__ import Parts, build
    from services.trainer.settings import TrainerSettings

    applications(tmp_path / "applications")
    settings = TrainerSettings(applications=tmp_path / "applications", state=tmp_path)
    app = build(settings, names, Parts())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://trainer") as http:
        yield http


async def test_asked_over_http_and_by_command_it_trains_erases_and_tells(
    topics: BrokerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = applications(tmp_path / "applications", "news")
    await give_rewards(topics, found["shop"], 20, subject_id="ann")
    await give_rewards(topics, found["shop"], 30, seed=2)
    process_settings = {"STREAMWHEEL_TRAINING_COMMAND": FAKE, "STREAMWHEEL_API_KEYS": "k"}
    folder = ("--applications", str(tmp_path / "applications"))
    async with training(topics, tmp_path, **process_settings) as (process, http):
        assert (await http.get("/v1/jobs")).status_code == 401
        http.headers["X-API-Key"] = "k"
        reply = await http.post("/v1/retrain/shop", json={"request_id": "mine", "seed": 5, "days": 10_000})
        assert (reply.status_code, reply.json()) == (202, {"request_id": "mine"})
        (first,) = await answers(topics, 1)
        assert (first.request_id, first.status, first.seed) == ("mine", "trained", 5)
        assert (await http.get("/v1/jobs/mine")).json()["status"] == "trained"

        behave(tmp_path, "news", "refuse")
        await give_rewards(topics, found["news"], 4)
        followed = await asyncio.to_thread(streamwheel, topics, "trigger", "news", "--follow", *folder)
        assert followed.returncode == 1
        assert json.loads(followed.stdout)["status"] == "refused"
        assert "3 where 100 are needed" in followed.stderr
        plain = await asyncio.to_thread(streamwheel, topics, "trigger", "shop", *folder, "--seed", "9")
        assert plain.returncode == 0
        await answers(topics, 3)
        listed = await asyncio.to_thread(streamwheel, topics, "jobs", "--application", "shop")
        stood = [json.loads(line) for line in listed.stdout.splitlines()]
        assert [(each["request_id"], each["status"]) for each in stood] == [
            ("mine", "trained"),
            (json.loads(plain.stdout)["request_id"], "trained"),
        ]

        base = process.port - OFFSETS["trainer"]
        monkeypatch.setenv("STREAMWHEEL_API_KEYS", "k")
        erased = await asyncio.to_thread(streamwheel, topics, "erase", "ann", "--port-base", str(base))
        assert erased.returncode == 0, erased.stderr
        told = json.loads(erased.stdout)
        assert told["rewards"] == 20
        assert {each["candidate_id"] for each in told["candidates"]} == {
            each["candidate_id"] for each in stood
        }
        assert (await http.delete("/v1/subjects/ann", params={"application": "x"})).status_code == 404
    archive = Archive(process.state / "archive")
    rows, _ = read_rewards(archive, "shop", archived(archive, "shop"))
    assert rows.height == 30
    assert "ann" not in rows["subject_id"]


def test_bad_usage_is_told_and_nothing_is_asked(topics: BrokerSettings) -> None:
    for arguments, words in [
        (["trigger", "nothing"], "there is no application 'nothing'"),
        (["trigger", "optdigits", "--parameters", "{"], "--parameters: no JSON"),
        (["trigger", "optdigits", "--parameters", "[]"], "not a JSON object"),
    ]:
        ended = streamwheel(topics, *arguments)
        assert ended.returncode == 2
        assert words in ended.stderr
    with open_log(topics) as log:
        assert jobs(log) == []


async def test_what_it_cannot_start_with_is_told(topics: BrokerSettings, tmp_path: Path) -> None:
    found = applications(tmp_path / "applications")
    await give_rewards(topics, found["shop"], 4)
    archive = Archive(tmp_path / "state" / "archive")
    archive.storage.write("positions/rewards-2-00000000000000000500", b"")
    process = TrainerProcess(topics, tmp_path)
    process.start()
    try:
        assert await asyncio.to_thread(process._process.wait, 30) == 1  # type: ignore[union-attr]
    finally:
        process.kill()
    assert "the topic ends at 1: name another STREAMWHEEL_ARCHIVE" in process.log.read_text()


async def test_new_rewards_train_without_being_asked(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications")
    file = tmp_path / "applications" / "shop.yaml"
    file.write_text(file.read_text() + "training: {every: 30, incremental: true}\n")
    (shop,) = [each for each in applications_again(tmp_path) if each.name == "shop"]
    often = {"STREAMWHEEL_WATCH_EVERY": "100ms", "STREAMWHEEL_FLUSH_AFTER": "100ms"}
    async with training(topics, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE, **often):
        await give_rewards(topics, shop, 32)
        first = (await answers(topics, 1))[0]
        await give_rewards(topics, shop, 32, seed=2)
        second = (await answers(topics, 2))[1]
        await ask(topics, request("once more"))
        nothing_new = (await answers(topics, 3))[2]
    assert first.request_id.startswith("count-shop-")
    assert first.previous == ""
    assert second.previous == first.candidate_id
    seen = {span.partition: span.next for span in first.lineage}
    assert all(span.first >= seen.get(span.partition, 0) for span in second.lineage)
    assert (nothing_new.status, nothing_new.reason) == (
        "refused",
        "no rewards that the last candidate has not seen of shop are archived",
    )


def applications_again(folder: Path) -> Any:
    from shared.applications.registry import load

    return load([folder / "applications"]).values()


async def test_a_broker_restart_costs_no_training(own_broker: Any, tmp_path: Path) -> None:
    from shared.broker.topics import ensure_topics

    own_broker.start()
    topics = own_broker.settings
    ensure_topics(topics)
    shop = applications(tmp_path / "applications")["shop"]
    await give_rewards(topics, shop, 8)
    behave(tmp_path, "shop", "hold")
    async with training(topics, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE) as (_, http):
        await ask(topics, request("r-1"))
        await until(lambda: _running(http))
        pid = int((tmp_path / "shop.pid").read_text())
        own_broker.stop()
        own_broker.start()
        os.kill(pid, 0)
        reply = await http.delete("/v1/jobs/r-1")
        assert reply.status_code in (200, 404, 503)
        await until(lambda: _cancelled(http))
        (ended,) = await answers(topics, 1)
    assert ended.status == "cancelled"
    assert (tmp_path / "shop.begun").read_text().count("\n") == 1


async def _running(http: httpx.AsyncClient) -> bool:
    reply = await http.get("/v1/jobs/r-1")
    return reply.status_code == 200 and bool(reply.json().get("progress") == 0.25)


async def _cancelled(http: httpx.AsyncClient) -> bool:
    return (await http.delete("/v1/jobs/r-1")).status_code == 409
