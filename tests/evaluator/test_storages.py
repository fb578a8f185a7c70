"""Candidates whose storage cannot be reached, on a real Kafka: they wait, and nobody waits with them."""

import re
from pathlib import Path

from shared.broker.settings import BrokerSettings
from tests.broker.reading import read_all
from tests.deployer.artefact_server import Storage
from tests.evaluator.processes import EvaluatorProcess, consumed, evaluating, evaluations, judged, put
from tests.evaluator.world import applications, artefact, candidate, give, now_ms, policy, records
from tests.waiting import until


async def test_a_storage_that_is_away_for_a_while_refuses_nobody(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give(topics, records(shop, 1200))
    made = artefact(tmp_path / "made", policy(1.0))
    with Storage(tmp_path / "made").serving() as storage:
        storage.fails = 503
        process = EvaluatorProcess(topics, tmp_path)
        await put(topics, "candidates", candidate(made, artefact=storage.address(made.id)))
        try:
            await process.begin()
            await until(lambda: storage.failed > 3)
            assert await process.stop() == 0  # whoever waits for a storage ends at once
            assert await evaluations(topics) == []
            await process.begin()
            await until(lambda: storage.failed > 6)
            storage.fails = None
            (found,) = await judged(topics, 1)
        finally:
            process.kill()
    assert (found.verdict, found.reasons) == ("pass", ())


async def test_a_storage_that_stays_away_refuses_and_the_candidate_is_followed_once_it_is_back(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop, began = applications(tmp_path / "applications")["shop"], now_ms()
    await give(topics, records(shop, 1200))
    made = artefact(tmp_path / "made", policy(1.0))
    with Storage(tmp_path / "made").serving() as storage:
        storage.fails = 403
        async with evaluating(topics, tmp_path, STREAMWHEEL_STORAGE_LIMIT="1s"):
            there = candidate(made, artefact=storage.address(made.id), started_at=began)
            await put(topics, "candidates", there)
            (found,) = await judged(topics, 1)
            (reason,) = found.reasons
            assert (found.verdict, reason.name) == ("refused", "storage")
            assert "the storage could not be reached: http" in reason.detail
            assert re.search(r"\([2-9] attempts in \d+ s\)$", reason.detail)
            storage.fails = None
            (later,) = await judged(topics, 1, "shadow")
    assert (later.candidate_id, later.verdict) == (made.id, "pass")


async def test_behind_a_storage_that_is_away_others_are_evaluated_and_its_own_application_keeps_its_order(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    news = "application: news\nfeatures: [{name: a, type: numeric}]\nactions: [x, y]\n"
    shop = applications(tmp_path / "applications", news=news)["shop"]
    await give(topics, records(shop, 300))
    root = tmp_path / "made"
    first, second, other = (
        artefact(root, policy(1.0), name, seed=seed) for name, seed in (("shop", 1), ("shop", 2), ("news", 3))
    )
    with Storage(root).serving() as storage:
        storage.fails = 503
        process = EvaluatorProcess(topics, tmp_path, STREAMWHEEL_SHADOWS="0")
        sent = (
            candidate(first, artefact=storage.address(first.id)),
            candidate(second),
            b"none",
            candidate(other),
        )
        await put(topics, "candidates", *sent)
        try:
            await process.begin()
            (found,) = await judged(topics, 1)
            assert found.candidate_id == other.id
            asked = storage.failed
            await until(lambda: storage.failed > asked)  # and tried again meanwhile
            assert [each.candidate_id for each in await evaluations(topics)] == [other.id]
            assert await read_all(topics, topics.topic("dead-letters")) == []
            assert await consumed(topics, 0)
            process.kill()
            await process.begin()
            storage.fails = None
            found_all = await judged(topics, 3)
            await until(lambda: consumed(topics, 4))
        finally:
            process.kill()
    assert [each.candidate_id for each in found_all] == [other.id, first.id, second.id]
    assert len(await evaluations(topics)) == 3
    assert [each.value for each in await read_all(topics, topics.topic("dead-letters"))] == [b"none"]
