"""The evaluator on a real Kafka: every candidate ends as exactly one evaluation on what is logged."""

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from shared.broker.dead_letters import origin
from shared.broker.settings import BrokerSettings
from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.calibration import standard_error
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate
from tests.broker.reading import read_all
from tests.evaluator import test_language as language
from tests.evaluator.processes import EvaluatorProcess, consumed, evaluating, evaluations, judged, put
from tests.evaluator.world import (
    applications,
    artefact,
    candidate,
    candidate_of,
    give,
    now_ms,
    policy,
    records,
)
from tests.waiting import until, until_measured


async def test_a_better_policy_passes_and_a_worse_one_fails(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give(topics, records(shop, 1200))
    better, worse = (artefact(tmp_path / "made", policy(slope)) for slope in (1.0, -1.0))
    async with evaluating(topics, tmp_path) as (process, http):
        await put(topics, "candidates", candidate(better), candidate(worse))
        first, second = await judged(topics, 2)
        page = (await http.get(f"/v1/evaluations/shop/{better.id}/report")).text
        listed = (await http.get("/v1/evaluations/shop")).json()["evaluations"]
        one = (await http.get(f"/v1/evaluations/shop/{worse.id}")).json()["evaluations"]
        unknown = [
            await http.get(f"/v1/evaluations/{path}")
            for path in (
                "shop/nobody",
                "nothing",
                "nothing/x",
                f"nothing/{better.id}/report",
                "shop/x/report",
            )
        ]
        assert await process.stop() == 0
    assert (first.candidate_id, first.verdict, first.reasons) == (better.id, "pass", ())
    assert (second.candidate_id, second.verdict) == (worse.id, "fail")
    (found,) = first.metrics
    assert found.name == "reward"
    assert found.estimator == "dr"
    assert found.low < 0.95 < found.high  # its floor of .1 takes the wrong action in one of twenty
    assert abs(found.baseline - 0.5) < 0.05
    assert first.decisions == 1200
    assert sum(span.next - span.first for span in first.data) >= 1200
    assert "<svg" in page
    assert first.report.endswith(f"/v1/evaluations/shop/{better.id}/report")
    assert {each["candidate_id"] for each in listed} == {better.id, worse.id}
    assert [(each["verdict"], each["kind"]) for each in one] == [("fail", "log")]
    assert [each.status_code for each in unknown] == [404] * 5


async def test_a_language_model_has_its_page_too(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications")
    made = language.artefact(tmp_path / "made", "ppo", language.answered(), language.scored())
    async with evaluating(topics, tmp_path) as (_, http):
        await put(topics, "candidates", candidate(made))
        (found,) = await judged(topics, 1)
        page = await http.get(f"/v1/evaluations/assistant/{made.id}/report")
    assert (found.verdict, page.status_code) == ("pass", 200)
    assert found.report.endswith(f"/v1/evaluations/assistant/{made.id}/report")
    assert "Length control" in page.text


async def test_killed_at_any_moment_it_gives_each_candidate_one_evaluation(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    random = Random(5)
    shop = applications(tmp_path / "applications")["shop"]
    await give(topics, records(shop, 2000))
    made = [candidate(artefact(tmp_path / "made", policy(1.0), seed=seed)) for seed in range(6)]
    process = EvaluatorProcess(topics, tmp_path)
    await put(topics, "candidates", *made, made[0], made[3])
    try:
        for kill in range(3):
            process.start()
            # In an evaluation, or between two.
            await until(lambda: _any_more(topics, kill))  # noqa: B023
            await asyncio.sleep(random.uniform(0, 0.5))
            process.kill()
        process.start()
        await judged(topics, 6)
        await until(lambda: consumed(topics, 8))
        assert await process.stop() == 0
    finally:
        process.kill()
    found = [each for each in await evaluations(topics) if each.kind == "log"]
    assert [each.candidate_id for each in found] == [each.candidate_id for each in made]
    assert {each.verdict for each in found} == {"pass"}
    assert len({each.metrics for each in found}) == 1  # the same log, the same figures


async def _any_more(broker: BrokerSettings, than: int) -> bool:
    return len(await evaluations(broker)) > than


async def test_what_cannot_be_judged_is_refused_and_stops_nobody(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    news = "application: news\nfeatures: [{name: a, type: numeric}]\nactions: [x, y]\n"
    shop = applications(tmp_path / "applications", news=news)["shop"]
    await give(topics, records(shop, 1200))
    root = tmp_path / "made"
    tampered, good = artefact(root, policy(1.0), seed=1), artefact(root, policy(1.0), seed=2)
    file = tampered.folder / "policy.json"
    file.write_bytes(file.read_bytes().replace(b"banner", b"Banner"))
    foreign, other = artefact(root, policy(1.0), "news"), artefact(root, policy(1.0, 0.1, ("list", "banner")))
    missing = candidate_of("e" * 64, artefact=str(tmp_path / "nowhere"), algorithm="linear")
    sent: list[Candidate | bytes] = [
        candidate(tampered),
        b"garbage",
        missing,
        candidate(foreign, application="shop"),
        candidate(foreign),
        candidate(other),
        replace(candidate(good), status="running"),
        replace(candidate(good), application="unheard-of"),
        candidate(good).encode() + b"!",
        candidate(good),
    ]
    async with evaluating(topics, tmp_path) as (_, http):
        await put(topics, "candidates", *sent)
        found = {(each.application, each.candidate_id): each for each in await judged(topics, 6)}
        filtered = "records_filtered_total"
        await until_measured(
            http,
            f'{filtered}{{reason="not-trained",topic="candidates"}} 1.0',
            f'{filtered}{{reason="unknown-application",topic="candidates"}} 1.0',
        )
    names = {
        ("shop", tampered.id): "artefact",
        ("shop", "e" * 64): "artefact",
        ("shop", foreign.id): "artefact",
        ("news", foreign.id): "schema-drift",
        ("shop", other.id): "actions",
    }
    for key, name in names.items():
        assert (found[key].verdict, found[key].reasons[0].name) == ("refused", name)
    assert "policy.json" in found["shop", tampered.id].reasons[0].detail
    assert found["shop", good.id].verdict == "pass"
    dead = await read_all(topics, topics.topic("dead-letters"))
    assert sorted(record.value for record in dead) == sorted(each for each in sent if isinstance(each, bytes))
    assert {(origin(record.headers).stage, origin(record.headers).topic) for record in dead} == {
        ("evaluator", topics.topic("candidates"))
    }


def _stage(of: Evaluation, realised: float, at: int) -> Evaluation:
    """What the deployer says of a finished stage."""
    (told,) = of.metrics
    metric = replace(
        told,
        difference=realised,
        difference_low=realised - 0.02,
        difference_high=realised + 0.02,
        estimator="realised",
    )
    return replace(of, evaluation_id=f"shop-stage-{at}", kind="stage", metrics=(metric,), at=at, report="")


async def test_predictions_that_missed_widen_the_next_ones(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give(topics, records(shop, 1200))
    first, second, third = (artefact(tmp_path / "made", policy(1.0), seed=seed) for seed in range(3))
    settings: dict[str, Any] = {"STREAMWHEEL_SHADOWS": "0"}
    async with evaluating(topics, tmp_path, **settings) as (_, http):
        await put(topics, "candidates", candidate(first))
        (told,) = await judged(topics, 1)
        stages = [_stage(told, told.metrics[0].difference - 0.2, now_ms())]
        await put(topics, "evaluations", *stages, *stages)  # twice the same counts once

        async def widened() -> bool:
            text = (await http.get("/metrics")).text
            return 'streamwheel_evaluation_widening{application="shop"} 1.0\n' not in text

        await until(widened)
        await put(topics, "candidates", candidate(second))
        wide = (await judged(topics, 2))[-1]
    # The same after a restart, from the topic alone, and with a hit beside the miss.
    await put(topics, "evaluations", _stage(told, told.metrics[0].difference, now_ms() + 1))
    async with evaluating(topics, tmp_path, **settings):
        await put(topics, "candidates", candidate(third))
        milder = (await judged(topics, 3))[-1]
    interval = Interval(told.metrics[0].difference_low, told.metrics[0].difference_high)
    both = (standard_error(interval, 0.05) ** 2 + standard_error(Interval(-0.02, 0.02), 0.05) ** 2) ** 0.5
    assert told.widening == 1.0
    assert wide.widening == pytest.approx(0.2 / both)
    assert milder.widening == pytest.approx(0.2 / both / 2**0.5)
    (plain,), (wider,) = told.metrics, wide.metrics
    assert wider.difference_high - wider.difference == pytest.approx(
        wide.widening * (plain.difference_high - plain.difference)
    )


async def _answers(http: httpx.AsyncClient, candidate_id: str) -> bool:
    """Whether it tells of an evaluation that another one has made."""
    try:
        found = (await http.get("/v1/evaluations/shop")).json()["evaluations"]
    except httpx.TransportError:
        return False
    return [each["candidate_id"] for each in found] == [candidate_id]


async def _one_leads(*evaluators: httpx.AsyncClient) -> bool:
    return sorted([(await each.get("/readyz")).status_code for each in evaluators]) == [200, 503]


async def test_a_second_evaluator_stands_by_and_takes_over(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give(topics, records(shop, 500))
    one, other = (candidate(artefact(tmp_path / "made", policy(1.0), seed=seed)) for seed in (1, 2))
    nameless = {"STREAMWHEEL_INSTANCE": None}  # who has a name may come back, and is waited for
    second = EvaluatorProcess(topics, tmp_path, **nameless)
    try:
        async with evaluating(topics, tmp_path, **nameless) as (first, mine):
            second.start()
            await put(topics, "candidates", one)
            await judged(topics, 1)
            async with httpx.AsyncClient(base_url=second.url) as http:
                await until(lambda: _answers(http, one.candidate_id))
                await until(lambda: _one_leads(mine, http))  # whichever Kafka lets
            assert await first.stop() == 0
            await put(topics, "candidates", other, one)
            found = await judged(topics, 2)
            await until(lambda: consumed(topics, 3))
    finally:
        second.kill()
    assert [each.candidate_id for each in found] == [one.candidate_id, other.candidate_id]
    assert len([each for each in await evaluations(topics) if each.kind == "log"]) == 2
