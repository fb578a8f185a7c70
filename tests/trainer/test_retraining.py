"""Retraining by rule: once enough is new, on what the buffer holds, told to whoever wants to know."""

import asyncio
import io
import json
import sys
import time
from pathlib import Path

import httpx
import polars as pl

from services.trainer.orders import Orders
from services.trainer.planning import plan
from services.trainer.training import train
from shared.algorithms.registry import algorithms
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.archive.reading import archived, read_rewards
from shared.broker.settings import BrokerSettings
from shared.cli.addresses import OFFSETS
from tests.archive.records import commit, reward
from tests.notifying.hooks import Hooks
from tests.trainer.processes import FAKE, answers, applications, begun, give_rewards, request, training
from tests.trainer.test_api import streamwheel

RULE = "training: {every: 30, counted: feedback, pause: 24h, buffer: 30, algorithm: linear}"


async def test_it_trains_on_its_buffer_says_where_it_stands_and_tells(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    file = tmp_path / "applications" / "shop.yaml"
    file.write_text(f"{file.read_text()}{RULE}\n")
    hooks = Hooks()
    environment = {
        "STREAMWHEEL_TRAINING_COMMAND": FAKE,
        "STREAMWHEEL_WATCH_EVERY": "100ms",
        "STREAMWHEEL_FLUSH_AFTER": "100ms",
        "STREAMWHEEL_WEBHOOK": f"{hooks.url}/hook",
    }
    try:
        now = time.time_ns() // 1_000_000
        for n in range(4):
            told = {"is_default": False, "decision_time": now - 100 + n}
            await give_rewards(topics, shop, 10, seed=n, **told)
        await give_rewards(topics, shop, 40, seed=4, is_default=True)
        async with training(topics, tmp_path, **environment) as (process, http):
            (found,) = await answers(topics, 1)
            await asyncio.to_thread(hooks.wait, 1)
            await give_rewards(topics, shop, 25, seed=5, is_default=False)
            async with asyncio.timeout(60):
                while (stood := (await http.get("/v1/retrain/shop")).json())["new"] < 25:
                    await asyncio.sleep(0.05)
            base = process.port - OFFSETS["trainer"]
            asked = await asyncio.to_thread(
                streamwheel, topics, "retraining", "shop", "--port-base", str(base)
            )
            assert (await http.get("/v1/retrain/nothing")).status_code == 404
    finally:
        hooks.close()
    [(path, posted)] = hooks.posted
    assert (path, posted["status"], posted["request_id"]) == ("/hook", "trained", found.request_id)
    assert stood["buffer"] == {"size": 30, "capacity": 30}
    # Whatever is new by now, the last training was asked for a moment ago.
    assert (stood["should_retrain"], stood["running"]) == (False, False)
    assert stood["last_run"]["request_id"] == found.request_id
    said = json.loads(asked.stdout)
    assert said["new"] >= stood["new"]
    assert said | {"new": 0} == stood | {"new": 0}
    [orders] = map(json.loads, begun(tmp_path))
    archive = Archive(process.state / "archive")
    rows, _ = read_rewards(archive, "shop", found.lineage, found.decided_from)
    assert orders["decided_from"] == found.decided_from
    before = rows.filter(~pl.col("is_default"))
    assert before["decision_id"].n_unique() == 30


async def test_where_products_stand_is_worked_out_of_files(tmp_path: Path) -> None:
    from services.trainer.__main__ import Parts, build
    from services.trainer.settings import TrainerSettings

    records = [reward(n, "dashboard_widgets", is_default=False) for n in range(120)]
    commit(Archive(tmp_path / "archive"), 0, 0, *records)
    app = build(TrainerSettings(state=tmp_path), BrokerSettings(broker="127.0.0.1:9"), Parts())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://trainer") as http:
        stood = (await http.get("/v1/retrain/dashboard_widgets")).json()
        voice = (await http.get("/v1/retrain/voice_assistant")).json()
    assert stood["buffer"] == {"size": 120, "capacity": 10_000}
    assert (stood["new"], stood["every"], stood["should_retrain"]) == (120, 100, True)
    assert stood["last_run"] is None
    assert (voice["buffer"], voice["schedule"], voice["should_retrain"]) == (None, "0 2 * * 1", False)


def test_the_products_are_retrained_as_their_page_says() -> None:
    rules = {name: application.settings.training for name, application in load().items()}
    widgets, chat, voice, listeners = (
        rules[name] for name in ("dashboard_widgets", "assistant", "voice_assistant", "entertainment")
    )
    assert (widgets.every, widgets.counted, widgets.buffer) == (100, "feedback", 10_000)
    assert widgets.pause is not None
    assert widgets.pause.total_seconds() == 24 * 3600
    assert widgets.export
    assert not load()["dashboard_widgets"].settings.rollout.automatic
    assert (chat.algorithm, chat.every, chat.buffer) == ("continuous", 100, 1000)
    assert chat.window is None
    assert voice.window is not None
    assert (voice.schedule, voice.window.days) == ("0 2 * * 1", 30)
    assert listeners.window is not None
    assert (listeners.schedule, listeners.window.days, listeners.incremental) == ("0 1 * * 1", 7, True)
    gates = load()["entertainment"].settings.evaluation
    assert (gates.least_decisions, gates.least_reward) == (1000, 0.3)


def test_a_model_that_is_not_there_is_refused_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    commit(archive, 0, 0, *(reward(n, "dashboard_widgets") for n in range(5)))
    spans = tuple(archived(archive, "dashboard_widgets"))
    addresses = str(tmp_path / "archive"), str(tmp_path / "artefacts")
    heavy = {"torch", "transformers"} & sys.modules.keys()
    said = train(Orders("dashboard_widgets", "dpo", {}, 1, spans, 0, *addresses), io.StringIO())
    [name] = algorithms()["dpo"].declaration.MODELS  # type: ignore[attr-defined]
    assert said.refused.startswith(f"{name}: there is no folder")
    assert {"torch", "transformers"} & sys.modules.keys() == heavy


def test_a_buffer_belongs_to_the_application_s_own_algorithm() -> None:
    def planned(**asked: str) -> tuple[str, int | None, bool]:
        made = plan(request("r", "assistant", **asked), load())
        return made.algorithm, made.buffer, made.incremental

    assert planned() == planned(algorithm="continuous") == ("continuous", 1000, True)
    assert planned(algorithm="reward_model") == ("reward_model", None, False)
    # Where there is no buffer, every algorithm goes on from its last candidate.
    assert plan(request("r", "entertainment", algorithm="ucb"), load()).incremental
