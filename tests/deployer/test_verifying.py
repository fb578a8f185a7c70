"""Artefacts lie anywhere, are verified before they are rolled out, and nothing waits for that but they."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pytest

from services.deployer.verifying import THREADS, Checked, Verifier
from shared.algorithms.artefacts import Artefact
from shared.algorithms.fetching import ArtefactCache
from shared.broker.settings import BrokerSettings
from shared.wire.rollouts import Deployed, Evaluation
from tests.deployer.artefact_server import Storage
from tests.deployer.processes import (
    applications,
    artefact,
    audit,
    deploying,
    evaluation,
    happened,
    rolled_out,
    submit,
)
from tests.waiting import LIMIT, until, wait_for

MANUAL = {"rollout:\n": "rollout:\n  automatic: false\n", "bake: ": "bake: 9"}
QUICK_S = 2.0


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    (tmp_path / "artefacts").mkdir()
    with Storage(tmp_path / "artefacts").serving() as serving:
        yield serving


@pytest.fixture
def verifier(tmp_path: Path) -> Iterator[Verifier]:
    made = Verifier(ArtefactCache(tmp_path / "copies", 1 << 20), LIMIT)
    made.start()
    yield made
    made.stop()


def elsewhere(storage: Storage, made: Artefact, **more: Any) -> Evaluation:
    given = evaluation(made, **more)
    return replace(given, artefact=storage.address(made.id), manifest_sha256=made.id)


def deployed(made: Artefact, address: str = "") -> Deployed:
    return Deployed(made.id, "ucb", address or str(made.folder), made.id)


def test_what_was_verified_is_read_again_only_once_it_was_written_to(
    verifier: Verifier, tmp_path: Path
) -> None:
    made = artefact(tmp_path, 1)
    for _ in range(2):
        assert verifier.ask(deployed(made)).result(LIMIT) == Checked()
    (made.folder / "weights.json").write_text("[2]")
    found = verifier.ask(deployed(made)).result(LIMIT)
    assert found.broken
    assert "weights.json: is not the file of the manifest" in found.problem
    assert verifier.ask(Deployed("x", artefact="/x")).result(LIMIT).broken
    assert verifier.ask(Deployed("x")).result(LIMIT) == Checked("nobody said where it lies", broken=True)


def test_a_copy_is_kept_and_verified_and_forgotten_when_nobody_wants_it(
    verifier: Verifier, tmp_path: Path
) -> None:
    made, files = artefact(tmp_path, 1), fsspec.filesystem("memory")
    files.put(str(made.folder), f"/verified/{made.id}", recursive=True)
    there = deployed(made, f"memory://verified/{made.id}")
    assert verifier.ask(there).result(LIMIT) == Checked()
    files.rm("/verified", recursive=True)
    assert verifier.ask(there).result(LIMIT) == Checked()
    verifier.keep({made.id})
    assert verifier.ask(there).result(LIMIT) == Checked()
    copies = tmp_path / "copies"
    assert [path.name for path in copies.iterdir()] == [made.id]


@pytest.mark.parametrize("fails", [503, 403, 0], ids=str)
def test_a_storage_is_tried_again_and_keeps_nobody_waiting_meanwhile(
    verifier: Verifier, storage: Storage, tmp_path: Path, fails: int
) -> None:
    *away, here = (artefact(tmp_path, n) for n in range(THREADS + 2))
    storage.fails = fails
    asked = [verifier.ask(deployed(each, storage.address(each.id))) for each in away]
    wait_for(lambda: all(each.problem for each in verifier.progress.values()))
    assert verifier.ask(deployed(here)).result(LIMIT) == Checked()
    assert not any(each.done() for each in asked)
    assert all("could not be reached" in each.problem for each in verifier.progress.values())
    storage.fails = None
    assert [each.result(LIMIT) for each in asked] == [Checked()] * len(away)
    assert not verifier.progress


def test_a_storage_that_stays_away_is_given_up_and_a_missing_artefact_at_once(
    storage: Storage, tmp_path: Path
) -> None:
    made = artefact(tmp_path, 1)
    verifier = Verifier(ArtefactCache(tmp_path / "copies", 1 << 20), 0.2)
    verifier.start()
    try:
        storage.fails = 503
        found = verifier.ask(deployed(made, storage.address(made.id))).result(LIMIT)
        assert (found.broken, "the storage could not be reached" in found.problem) == (False, True)
        assert "2 attempts" in found.problem
        storage.fails = None
        for address in (storage.address("0" * 64), str(tmp_path / "nowhere"), "nothing-of-the-kind://x"):
            gone = verifier.ask(deployed(made, address)).result(LIMIT)
            assert gone.broken, address
            assert "could not be reached" not in gone.problem
    finally:
        verifier.stop()


async def test_a_candidate_waits_for_its_storage_and_is_refused_for_that_in_the_end(
    topics: BrokerSettings, tmp_path: Path, storage: Storage
) -> None:
    applications(tmp_path / "applications", {"bake: ": "bake: 9"})
    first, second = (artefact(tmp_path, n) for n in range(2))
    limits = {"STREAMWHEEL_STATE": str(tmp_path / "state"), "STREAMWHEEL_STORAGE_LIMIT": "3s"}
    async with deploying(topics, tmp_path, **limits, STREAMWHEEL_KAFKA_LIMIT="1s") as (_, http):
        storage.fails = 503
        await submit(topics, elsewhere(storage, first))
        await until(lambda: _told(http))
        status, said, _ = await command(http, "promote", policy=first.id)
        message = said["errors"][0]["message"]
        assert (status, "still being verified (the storage could not be reached" in message) == (503, True)
        storage.fails = None
        await happened(topics, "started")
        storage.fails = 503
        await submit(topics, elsewhere(storage, second))
        refused = next(each for each in await happened(topics, "refused") if each.what == "refused")
        assert refused.policy == second.id
        assert "cannot be used: the storage could not be reached: http" in refused.cause


async def _told(http: httpx.AsyncClient) -> bool:
    return any("503" in each["problem"] for each in (await rolled_out(http)).get("verifying", ()))


async def command(http: httpx.AsyncClient, verb: str, **body: str) -> tuple[int, Any, float]:
    began = time.monotonic()
    reply = await http.post(f"/v1/rollouts/shop/{verb}", json={"by": "ann", **body})
    return reply.status_code, reply.json(), time.monotonic() - began


async def test_a_slow_artefact_keeps_nothing_waiting_but_its_candidate(
    topics: BrokerSettings, tmp_path: Path, storage: Storage
) -> None:
    applications(tmp_path / "applications", {"bake: ": "bake: 9"})
    first, slow, changed = (artefact(tmp_path, n) for n in range(3))
    limits = {"STREAMWHEEL_STATE": str(tmp_path / "state"), "STREAMWHEEL_KAFKA_LIMIT": "3s"}
    async with deploying(topics, tmp_path, **limits) as (_, http):
        await submit(topics, evaluation(first))
        await happened(topics, "started")
        storage.open.clear()
        await submit(topics, elsewhere(storage, slow))
        await until(storage.asked.is_set)
        (under_way,) = (await rolled_out(http))["verifying"]
        assert (under_way["policy"], under_way["of"]) == (slow.id, 3)

        status, said, took = await command(http, "promote", policy=slow.id)
        assert (status, "still being verified" in said["errors"][0]["message"]) == (503, True)
        status, said, took = await command(http, "rollback", reason="it harms")
        assert (status, said["rollout"], took < QUICK_S) == (200, None, True)

        storage.open.set()
        events = await happened(topics, "started", 2)
        assert events[-1].policy == slow.id
        await rolled_out(http, verifying=[])

        (changed.folder / "weights.json").write_text("[7]")
        await submit(topics, elsewhere(storage, changed))
        refused = next(each for each in await happened(topics, "refused") if each.what == "refused")
        assert "is not the file of the manifest" in refused.cause


async def test_going_back_does_not_wait_and_what_turns_out_broken_is_left_again(
    topics: BrokerSettings, tmp_path: Path, storage: Storage
) -> None:
    applications(tmp_path / "applications", MANUAL)
    first, second = (artefact(tmp_path, n) for n in range(2))
    state = tmp_path / "state"
    async with deploying(topics, tmp_path, STREAMWHEEL_STATE=str(state)) as (_, http):
        await submit(topics, elsewhere(storage, first), elsewhere(storage, second))
        await happened(topics, "held", 2)
        for each in (first, second):
            for policy in (each.id, *[""] * 5):
                assert (await command(http, "promote", policy=policy))[0] == 200
        assert (await rolled_out(http))["stable"] == second.id

        shutil.rmtree(state / "artefacts" / first.id)
        (first.folder / "weights.json").write_text("[7]")
        storage.open.clear()
        status, said, took = await command(http, "rollback", reason="complaints")
        assert (status, said["stable"], took < QUICK_S) == (200, first.id, True)
        storage.open.set()
        await until(lambda: _stable(http, "default"))
        *_, blocked, _ = await audit(topics)
        assert (blocked.what, blocked.policy, blocked.by) == ("blacklisted", first.id, "deployer")


async def _stable(http: httpx.AsyncClient, policy: str) -> bool:
    return bool((await rolled_out(http))["stable"] == policy)
