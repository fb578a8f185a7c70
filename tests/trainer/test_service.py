"""The trainer on a real Kafka: every request ends as exactly one candidate."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from shared.algorithms import artefacts
from shared.archive.archive import Archive
from shared.archive.reading import read_rewards
from shared.broker.dead_letters import origin
from shared.broker.settings import BrokerSettings
from shared.cli.topic_log import committed
from shared.wire.training import Span
from tests.broker.reading import read_all
from tests.trainer.processes import (
    FAKE,
    TrainerProcess,
    answers,
    applications,
    ask,
    begun,
    behave,
    candidates,
    give_rewards,
    request,
    training,
)
from tests.waiting import until


async def test_a_request_becomes_a_candidate_whose_artefact_and_data_can_be_verified(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give_rewards(topics, shop, 400)
    async with training(topics, tmp_path) as (process, _):
        await ask(topics, request("r-1", parameters={"folds": 3}))
        (found,) = await answers(topics, 1)
        assert await process.stop() == 0
    assert (found.request_id, found.status, found.reason) == ("r-1", "trained", "")
    made = artefacts.load(Path(found.artefact), found.candidate_id)
    assert made.manifest.parameters["folds"] == 3 == found.parameters["folds"]
    assert dict(found.metrics) == made.manifest.metrics
    rows, sources = read_rewards(
        Archive(process.state / "archive"), "shop", found.lineage, found.decided_from
    )
    assert rows.height == found.rows == 400
    assert [(each.file, each.sha256, each.rows) for each in made.manifest.lineage] == [
        (each.file, each.sha256, each.rows) for each in sources
    ]


def orders_of(folder: Path, application: str = "shop") -> list[dict[str, Any]]:
    return [json.loads(line) for line in begun(folder, application)]


@pytest.fixture
async def shop(topics: BrokerSettings, tmp_path: Path) -> BrokerSettings:
    """A cluster with rewards of two applications, for trainers that train nothing."""
    found = applications(tmp_path / "applications", "news")
    for each in (found["shop"], found["news"]):
        await give_rewards(topics, each, 40)
    return topics


async def test_killed_at_any_moment_it_gives_each_request_one_answer(
    shop: BrokerSettings, tmp_path: Path
) -> None:
    random = Random(7)
    for name in ("shop", "news"):
        behave(tmp_path, name, "slow")
    process = TrainerProcess(shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE, STREAMWHEEL_PARALLEL="2")
    asked: list[str] = []
    try:
        for kill in range(10):
            process.start()
            asked += [f"shop-{kill}", f"news-{kill}"]
            copies = [request(each, each[:4], seed=kill) for each in asked[-2:]]
            await ask(shop, *copies, *copies)  # somebody sends everything twice
            if kill % 3:
                before = len(begun(tmp_path))
                await until(lambda: _has_begun(tmp_path, before))  # noqa: B023
            # The moment of the kill: in a training, or while it starts.
            await asyncio.sleep(random.uniform(0, 0.6 if kill % 3 else 2.5))
            process.kill()
        process.start()
        found = await answers(shop, len(asked))
        await until(lambda: _committed(shop, 4 * 10))
        assert await process.stop() == 0
    finally:
        process.kill()
    found = [each for each in await candidates(shop) if each.terminal]
    assert sorted(each.request_id for each in found) == sorted(asked)
    assert {(each.status, each.reason) for each in found} == {("trained", "")}
    assert not [each for each in found if each.joined]
    # A training that was under way goes on with the data that were decided on before.
    decided = {each.request_id: each.lineage for each in await candidates(shop) if not each.terminal}
    assert all(each.lineage == decided[each.request_id] for each in found)
    assert len(begun(tmp_path)) > 10


async def _committed(broker: BrokerSettings, offset: int) -> bool:
    found = await asyncio.to_thread(committed, broker, "trainer")
    return found["retrain-triggers", 0].offset == offset


async def test_requests_for_the_same_join_and_others_wait_their_turn(
    shop: BrokerSettings, tmp_path: Path
) -> None:
    behave(tmp_path, "shop", "hold")
    async with training(shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE) as (_, http):
        await ask(shop, request("first"), request("same", reason="drift"), request("other", seed=3))
        await until(lambda: _shown(http, "first", status="running", progress=0.25))
        board = (await http.get("/v1/jobs")).json()["jobs"]
        assert [(job["request_id"], job["status"], job["joined"]) for job in board] == [
            ("first", "running", ["same"]),
            ("other", "waiting", []),
        ]
        assert (await http.get("/v1/jobs/same")).json()["request_id"] == "first"
        behave(tmp_path, "shop", "train")
        assert (await http.delete("/v1/jobs/same")).json() == {"request_id": "same", "status": "cancelled"}
        cancelled, trained = await answers(shop, 2)
        await ask(shop, request("same"))  # answered before: it is known by its id
        await ask(shop, request("last", "news"))
        last = (await answers(shop, 3))[-1]
        assert (await http.delete("/v1/jobs/same")).status_code == 409
        assert (await http.delete("/v1/jobs/nobody")).status_code == 404
        assert (await http.get("/v1/jobs/nobody")).status_code == 404
        assert (
            'streamwheel_trainings_total{application="shop",status="cancelled"} 1.0'
            in (await http.get("/metrics")).text
        )
    assert (cancelled.status, cancelled.requests) == ("cancelled", ("first", "same"))
    assert (trained.status, trained.requests) == ("trained", ("other",))
    assert last.request_id == "last"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "shop.pid").read_text()), 0)


async def _shown(http: httpx.AsyncClient, request_id: str, **fields: Any) -> bool:
    reply = await http.get(f"/v1/jobs/{request_id}")
    return reply.status_code == 200 and {**reply.json(), **fields} == reply.json()


async def test_crashes_are_tried_again_and_limits_are_not(shop: BrokerSettings, tmp_path: Path) -> None:
    limits = {"STREAMWHEEL_MEMORY_MB": "200", "STREAMWHEEL_TIME_LIMIT": "4s", "STREAMWHEEL_PARALLEL": "2"}
    behave(tmp_path, "shop", "crash", "babble", "fail", "fail", "fail", "refuse", "grow", "lack")
    behave(tmp_path, "news", "hold")
    async with training(shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE, **limits) as (_, _):
        names = ["crashed", "failed", "refused", "grown", "lacking"]
        await ask(shop, *[request(name, seed=n) for n, name in enumerate(names)], request("slow", "news"))
        found = {each.request_id: each for each in await answers(shop, 6)}
        told = [each for each in await candidates(shop) if not each.terminal]
    assert (found["crashed"].status, found["crashed"].attempt) == ("trained", 2)
    assert any("SIGKILL" in each.message for each in told)
    assert (found["failed"].status, found["failed"].attempt) == ("failed", 3)
    assert found["failed"].reason.endswith("ValueError: the algorithm has a bug")
    assert (found["refused"].status, found["refused"].reason) == (
        "refused",
        "rewards: 3 where 100 are needed",
    )
    assert (found["grown"].status, found["grown"].attempt) == ("failed", 1)
    assert "and may use 200" in found["grown"].reason
    assert (found["slow"].status, found["slow"].attempt) == ("failed", 1)
    assert "longer than 0:00:04" in found["slow"].reason
    assert (found["lacking"].status, found["lacking"].attempt) == ("failed", 1)
    assert found["lacking"].reason == "linear needs torch"
    seeds = [order["seed"] for order in orders_of(tmp_path)]
    assert seeds == [0, 0, 1, 1, 1, 2, 3, 4]


async def test_what_cannot_be_done_is_refused_by_field_and_garbage_dies_byte_exact(
    shop: BrokerSettings, tmp_path: Path
) -> None:
    good = request("good")
    poison = [b"garbage", None, good.encode()[:-3], good.encode() + b"!", request("").encode()]
    wrong = [
        request("1", "nothing"),
        request("2", algorithm="alchemy"),
        request("3", parameters={"folds": 1}),
        request("4", parameters={"fold": 3}),
        request("5", preset="best"),
        request("6", days=-1.0),
        request("7", days=1.0, requested_at=time.time_ns() // 1_000_000 + 3 * 86_400_000),
        request("8", data=(Span(0, 0, 10**9),)),
    ]
    async with training(shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE) as (_, http):
        await ask(shop, *poison, *wrong, good)
        found = {each.request_id: each for each in await answers(shop, 9)}
        metrics = (await http.get("/metrics")).text
    dead = await read_all(shop, shop.topic("dead-letters"))
    assert {(record.value, origin(record.headers).offset) for record in dead} == {
        (value, offset) for offset, value in enumerate(poison)
    }
    assert {record.key for record in dead} == {b"a key"}
    assert {origin(record.headers).stage for record in dead} == {"trainer"}
    assert 'streamwheel_records_dead_total{reason="trailing-bytes",topic="retrain-triggers"} 1.0' in metrics
    assert found["good"].status == "trained"
    words = {
        "1": "application: 'nothing' is not one of",
        "2": "algorithm 'alchemy' is unknown",
        "3": "parameters: folds: Input should be greater than or equal to 2",
        "4": "parameters: fold: no such hyper-parameter",
        "5": "parameters: preset: 'best' is not one of default",
        "6": "days: -1.0 is not in",
        "7": "no rewards of shop are archived of decisions since",
        "8": "partition 0 is archived up to",
    }
    for name, text in words.items():
        assert found[name].status == "refused"
        assert text in found[name].reason


async def test_an_application_that_others_train_is_left_to_them(shop: BrokerSettings, tmp_path: Path) -> None:
    """A trainer of thirty lines, by another team, in place of this one."""
    async with training(shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE, STREAMWHEEL_TRAINS="news"):
        other = subprocess.Popen(
            [sys.executable, "-m", "tests.trainer.another_trainer", shop.broker, shop.topic_prefix]
        )
        try:
            await ask(shop, request("theirs", days=3.0), request("ours", "news"))
            found = {each.request_id: each for each in await answers(shop, 2)}
        finally:
            other.kill()
            other.wait()
    assert found["theirs"].status == "trained"
    assert found["theirs"].artefact == "s3://their-models/shop"
    assert found["ours"].artefact.startswith(str(tmp_path))
    assert len(begun(tmp_path)) == 0


async def test_a_second_trainer_stands_by_and_takes_over(shop: BrokerSettings, tmp_path: Path) -> None:
    behave(tmp_path, "shop", "hold", "train")
    async with training(shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE) as (first, _):
        await ask(shop, request("r-1"))
        await until(lambda: _has_begun(tmp_path))
        second = TrainerProcess(
            shop, tmp_path, STREAMWHEEL_TRAINING_COMMAND=FAKE, STREAMWHEEL_INSTANCE="trainer-2"
        )
        second.start()
        try:
            await first.stop()
            (found,) = await answers(shop, 1)
        finally:
            second.kill()
    assert (found.request_id, found.status) == ("r-1", "trained")
    first_orders, second_orders = orders_of(tmp_path)
    assert first_orders["spans"] == second_orders["spans"]


async def _has_begun(folder: Path, more_than: int = 0) -> bool:
    return len(begun(folder)) > more_than
