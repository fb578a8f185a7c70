"""The deployer on a real Kafka: an evaluation is the gate, and guards watch every stage."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from kafka import KafkaAdminClient

from shared.broker.settings import BrokerSettings
from shared.wire.rollouts import DeploymentEvent
from tests.broker.reading import read_all
from tests.deployer.auditing import check
from tests.deployer.processes import (
    STAGES,
    DeployerProcess,
    Product,
    applications,
    artefact,
    audit,
    deploying,
    deployments,
    evaluation,
    finished,
    happened,
    now,
    put,
    rolled_out,
    serving,
    stages,
    submit,
)
from tests.waiting import until, until_measured

SHARES = [0.0, 0.1, 0.5, 1.0, 1.0]
WHOLE = [
    ("queued", 0.0),
    ("started", 0.0),
    ("advanced", 0.1),
    ("advanced", 0.5),
    ("advanced", 1.0),
    ("advanced", 1.0),
    ("stable", 0.0),
]


def earning(**means: float) -> Callable[[str, np.random.Generator], float]:
    """Rewards about the arms' means."""

    def earns(arm: str, random: np.random.Generator) -> float:
        return float(random.normal(means[arm], 0.1))

    return earns


async def test_a_good_candidate_becomes_stable_by_itself(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    good = artefact(tmp_path, 1)
    async with (
        deploying(topics, tmp_path) as (process, http),
        serving(Product(topics, shop, earning(stable=0.5, canary=0.6))),
    ):
        await submit(topics, evaluation(good))
        events = await happened(topics, "stable")
        await until_measured(
            http,
            'streamwheel_rollouts_total{application="shop",outcome="stable"} 1.0',
            'streamwheel_rollout_stage{application="shop"} -1.0',
        )
        assert (await http.get("/v1/rollouts/shop")).json()["stable"] == good.id
        assert await process.stop() == 0
    assert stages(events, good.id) == WHOLE
    records = await deployments(topics)
    check(events, records, SHARES)
    last = records[-1]
    assert (last.stable.policy, last.stable.artefact, last.canary) == (good.id, str(good.folder), None)

    told = await finished(topics)
    assert [(each.reasons[0].detail, each.verdict) for each in told] == [
        (name, "pass") for name in STAGES[1:]
    ]
    for each in told[:2]:
        reward, margin = each.metrics
        assert reward.low < reward.value < reward.high
        assert reward.value == pytest.approx(0.6, abs=0.1)
        assert reward.difference == pytest.approx(reward.value - reward.baseline)
        assert reward.difference_low < reward.difference < reward.difference_high
        assert margin.difference == pytest.approx(reward.difference / 2)
        assert (each.candidate_id, each.baseline, each.kind) == (good.id, "default", "stage")
        assert each.data
    assert [each.metrics for each in told[2:]] == [
        (),
        (),
    ]  # stable had another time: nothing to calibrate with
    for each in told:
        (found,) = [reason.value for reason in each.reasons if reason.name == "realised-reward"]
        assert found == pytest.approx(0.6, abs=0.1)


async def test_a_bad_candidate_is_taken_back_at_a_tenth_and_stays_away(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    bad, worse = artefact(tmp_path, 1), artefact(tmp_path, 2)
    earned = {"stable": 0.5, "canary": 0.4}
    product = Product(topics, shop, lambda arm, random: float(random.normal(earned[arm], 0.1)))
    anonymous = {"STREAMWHEEL_INSTANCE": ""}  # leaves its group when it stops
    async with serving(product):
        async with deploying(topics, tmp_path, **anonymous) as (process, _):
            await submit(topics, evaluation(bad))
            (*_, last) = await happened(topics, "rolled-back")
            assert (last.policy, last.by) == (bad.id, "guard")
            assert last.numbers["high"] < 0
            assert "worse than allowed" in last.cause
            await submit(topics, evaluation(bad, "again"))
            refused = next(e for e in await happened(topics, "refused") if e.what == "refused")
            assert "is blacklisted" in refused.cause

            earned["canary"] = -20.0  # below the hard limit of margin
            await submit(topics, evaluation(worse))
            (*_, last) = await happened(topics, "rolled-back", 2)
            assert "margin" in last.cause
            assert "below -5" in last.cause
            await until(lambda: _obeyed(product, last.sequence))
            assert _delay(product, last.sequence) < 2.0
            assert await process.stop() == 0

        with_client(topics, lambda client: client.delete_groups([topics.group("deployer")]))
        async with deploying(topics, tmp_path, **anonymous) as (_, http):
            await submit(topics, evaluation(worse, "yet again"))
            events = await happened(topics, "refused", 2)
            board = await rolled_out(http)
            assert [each["policy"] for each in board["blacklist"]] == [bad.id, worse.id]
            await submit(topics, evaluation(bad, "once more"))
            events = await happened(topics, "refused", 3)
    expected = [
        ("queued", 0.0),
        ("started", 0.0),
        ("advanced", 0.1),
        ("blacklisted", 0.1),
        ("rolled-back", 0.0),
    ]
    for each in (bad, worse):
        assert [e for e in stages(events, each.id) if e[0] != "refused"] == expected
    records = await deployments(topics)
    check(events, records, SHARES)
    assert set(records[-1].blocked) == {bad.id, worse.id}
    first, second = await finished(topics)
    assert (first.verdict, first.metrics[0].verdict) == ("fail", "fail")
    assert (second.verdict, second.metrics) == ("fail", ())  # too soon for an interval


def with_client(topics: BrokerSettings, do: Callable[[KafkaAdminClient], object]) -> None:
    client = KafkaAdminClient(**topics.kafka_python())
    try:
        do(client)
    finally:
        client.close()


async def _obeyed(product: Product, sequence: int) -> bool:
    return sequence in product.seen


def _delay(product: Product, sequence: int) -> float:
    """From the twentieth decision of the canary in the last stage to the record that ends it."""
    began = product.seen[sequence - 2]  # then came: blacklisted, rolled-back
    canary = [at for at, arm in product.decided if arm == "canary" and at >= began]
    assert not [at for at in canary if at > product.seen[sequence] + 0.1]
    return product.seen[sequence] - canary[19]


async def test_arms_that_are_not_assigned_by_their_shares_hold_the_stage(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    good = artefact(tmp_path, 1)
    async with (
        deploying(topics, tmp_path) as (_, http),
        serving(Product(topics, shop, earning(stable=0.5, canary=0.6), skew=5.0)) as product,
    ):
        await submit(topics, evaluation(good))
        (held,) = await until(lambda: _mismatches(topics))
        assert (held.stage, held.policy) == ("10 %", good.id)
        assert held.numbers["ratio"] > held.numbers["due"] + held.numbers["half_width"]
        before = len(product.decided)
        await until(lambda: _more(product, before + 1_000))
        board = await rolled_out(http)
        assert board["rollout"]["stage"] == "10 %"
        assert board["rollout"]["guards"]["reason"] == "sample-ratio-mismatch"
        labels = 'application="shop",reason="sample-ratio-mismatch"'
        await until_measured(http, f"streamwheel_rollout_held{{{labels}}} 1.0")
        assert len(await _mismatches(topics)) == 1


async def _mismatches(topics: BrokerSettings) -> list[DeploymentEvent]:
    """Of the lines that say why a stage is held; a slow product's has too few samples, too."""
    return [each for each in await audit(topics) if each.what == "held" and "ratio" in each.numbers]


async def _more(product: Product, number: int) -> bool:
    return len(product.decided) >= number


async def test_missing_rewards_hold_the_stage(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications", {"wait: 1s, hold: 1s": "wait: 50ms, hold: 50ms"})
    async with deploying(topics, tmp_path, STREAMWHEEL_QUIET="200ms") as (_, http):
        await submit(topics, evaluation(artefact(tmp_path, 1)))
        held = next(e for e in await happened(topics, "held") if e.what == "held")
        assert "no rewards of decisions of the canary arm" in held.cause
        assert (await http.get("/v1/rollouts/shop")).json()["rollout"]["stage"] == "10 %"


async def test_killed_at_any_moment_the_audit_is_the_same(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    good, bad = artefact(tmp_path, 1), artefact(tmp_path, 2)
    stable = {"default": 0.5, good.id: 0.6, bad.id: 0.3}
    process = DeployerProcess(topics, tmp_path)
    product = Product(topics, shop, earning(stable=0.5, canary=0.6))

    def earns(arm: str, random: np.random.Generator) -> float:
        assert product.deployment is not None
        chosen = product.deployment.canary if arm == "canary" else product.deployment.stable
        assert chosen is not None
        return float(random.normal(stable[chosen.policy], 0.1))

    product.earns = earns
    try:
        async with serving(product):
            process.start()
            await submit(topics, evaluation(good), evaluation(good), evaluation(bad))
            for lines in (3, 4, 6):  # in shadow or at a tenth, at half, at all
                await until(lambda: _lines(topics, lines))  # noqa: B023
                process.kill()
                process.start()
            await happened(topics, "rolled-back")
            process.kill()
            process.start()
            await submit(topics, evaluation(bad, "again"))
            events = await happened(topics, "refused")
    finally:
        process.kill()
    assert [(each.what, each.policy) for each in events if each.what != "held"] == [
        ("queued", good.id),
        ("started", good.id),
        ("queued", bad.id),
        *[("advanced", good.id)] * 4,
        ("stable", good.id),
        ("started", bad.id),
        ("advanced", bad.id),
        ("blacklisted", bad.id),
        ("rolled-back", bad.id),
        ("refused", bad.id),
    ]
    check(events, await deployments(topics), SHARES)
    told = await finished(topics)
    assert [each.reasons[0].detail for each in told] == [*STAGES[1:], "10 %"]
    assert len({each.evaluation_id for each in told}) == 5


async def _lines(topics: BrokerSettings, number: int) -> bool:
    return len([each for each in await audit(topics) if each.what != "held"]) >= number


async def test_a_pulled_kill_switch_ends_the_rollout_and_holds_until_somebody_thaws(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    applications(tmp_path / "applications")
    first, second = artefact(tmp_path, 1), artefact(tmp_path, 2)
    async with deploying(topics, tmp_path) as (_, http):
        await submit(topics, evaluation(first))
        events = await happened(topics, "advanced")
        old = DeploymentEvent("k-0", "shop", 1, "killed", first.id, "default", 0, "", "no", "api", 1)
        pulled = replace(old, event_id="k-1", cause="it swears", by="api-3", at=now())
        await put(topics, "deployment-events", old.encode(), pulled.encode(), pulled.encode())
        await submit(topics, evaluation(second))
        events = await happened(topics, "queued", 2)
        board = await rolled_out(http, queue=[second.id])
        assert (board["rollout"], board["frozen"]) == (None, True)
        assert (await http.post("/v1/rollouts/shop/resume")).status_code == 409
        assert (await http.post("/v1/rollouts/shop/thaw")).status_code == 200
        await put(topics, "deployment-events", pulled.encode(), replace(pulled, what="revived").encode())
        await put(topics, "evaluations", b"no evaluation")
        await until(lambda: _dead(topics))
        board = await rolled_out(http)
        assert (board["rollout"]["policy"], board["frozen"]) == (second.id, False)
    (ended,) = [each for each in events if each.what == "rolled-back"]
    assert (ended.policy, ended.by, ended.cause) == (first.id, "api-3", "kill switch: it swears")
    assert not [each for each in events if each.what == "blacklisted"]
    (dead,) = await read_all(topics, topics.topic("dead-letters"))
    assert dead.value == b"no evaluation"


async def _dead(topics: BrokerSettings) -> bool:
    return bool(await read_all(topics, topics.topic("dead-letters")))


async def test_a_standby_takes_over(topics: BrokerSettings, tmp_path: Path) -> None:
    applications(tmp_path / "applications")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        applications(folder / "applications")
    first = artefact(tmp_path, 1)
    async with deploying(topics, folders[0], STREAMWHEEL_INSTANCE="") as (leader, http):
        standby = DeployerProcess(topics, folders[1], STREAMWHEEL_INSTANCE="")
        standby.start()
        try:
            async with httpx.AsyncClient(base_url=standby.url) as other:
                await until(lambda: _says(other, 503))
                await submit(topics, evaluation(first))
                await happened(topics, "started")
                leads = await _leader(http, other)
                await (leader if leads is http else standby).stop()
                rest = other if leads is http else http
                await until(lambda: _says(rest, 200))
                assert (await rest.get("/v1/rollouts/shop")).json()["rollout"]["policy"] == first.id
                reply = await rest.post("/v1/rollouts/shop/abort", json={"by": "ann"})
                assert reply.status_code == 200
        finally:
            standby.kill()
    check(await audit(topics), await deployments(topics), SHARES)


async def _says(http: httpx.AsyncClient, status: int) -> bool:
    try:
        return (await http.get("/v1/rollouts/shop")).status_code == status
    except httpx.TransportError:
        return False


async def _leader(*asked: httpx.AsyncClient) -> httpx.AsyncClient:
    """Whoever leads; while the second one joins, nobody may."""
    found: list[httpx.AsyncClient] = []

    async def there() -> bool:
        found[:] = [each for each in asked if await _says(each, 200)]
        return len(found) == 1

    await until(there)
    return found[0]
