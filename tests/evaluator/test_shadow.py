"""Candidates as decisions flow: the same statistics whatever happens to the process."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.broker.settings import BrokerSettings
from shared.wire.rollouts import Deployed, Deployment, Evaluation
from tests.evaluator.oracle import Expected, expected, rewards
from tests.evaluator.processes import evaluating, evaluations, judged, put
from tests.evaluator.world import applications, artefact, candidate, give, now_ms, policy, records
from tests.waiting import until, until_measured

SAYS_ALL = {"STREAMWHEEL_SHADOW_EVERY": "0s", "STREAMWHEEL_SNAPSHOT_EVERY": "0s"}


def corrected(first: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every third decision is followed at once by a correction, every ninth by another one."""
    found = []
    for n, each in enumerate(first):
        found.append(each)
        if n % 3 == 0:
            found.append(_revised(each, 1, each["reward"] + 0.5))
        if n % 9 == 0:
            found.append(_revised(found[-1], 2, each["reward"] - 0.25))
    return found


def _revised(record: dict[str, Any], revision: int, reward: float) -> dict[str, Any]:
    parts = [{"name": each["name"], "value": each["value"] + 1.0} for each in record["components"]]
    changes = {"reward": reward, "previous_reward": record["reward"], "revision": revision}
    return {**record, **changes, "components": parts}


def check(found: Evaluation, wanted: Expected) -> None:
    assert found.decisions == wanted.decisions
    assert found.effective_sample_size == pytest.approx(wanted.effective, rel=1e-9)
    assert found.max_weight == pytest.approx(wanted.largest, rel=1e-12)
    for metric in found.metrics:
        assert metric.value == pytest.approx(wanted.values[metric.name], rel=1e-9)
        assert metric.baseline == pytest.approx(wanted.baselines[metric.name], rel=1e-9)
    assert [metric.name for metric in found.metrics] == list(wanted.values)


async def said(broker: BrokerSettings, decisions: int) -> Evaluation:
    """The look that rests on so many decisions, once there is one."""
    found: list[Evaluation] = []

    async def there() -> bool:
        found[:] = [
            each
            for each in await evaluations(broker)
            if each.kind == "shadow" and each.decisions == decisions
        ]
        return bool(found)

    await until(there)
    return found[-1]


async def settled(broker: BrokerSettings, number: int) -> dict[str, Evaluation]:
    """The first look at each candidate that left nothing open, once so many have one.

    Looks at the first part of what flows may come before, and leave it open.
    """
    found: dict[str, Evaluation] = {}

    async def there() -> bool:
        for each in await evaluations(broker):
            if each.kind == "shadow" and each.verdict != "inconclusive":
                found.setdefault(each.candidate_id, each)
        return len(found) >= number

    await until(there)
    return found


@pytest.mark.parametrize("snapshot", ["kept", "lost", "torn"])
async def test_killed_and_started_again_it_counts_every_reward_once(
    topics: BrokerSettings, tmp_path: Path, snapshot: str
) -> None:
    guards = "guards: [{metric: pages, tolerance: 10}]\n"
    shop = applications(tmp_path / "applications", guards)["shop"]
    made, begins = policy(1.0), now_ms()
    about = candidate(artefact(tmp_path / "made", made), started_at=begins)
    pages = {"components": [{"name": "pages", "value": 3.0}]}
    old = records(shop, 50, seed=2, decision_time=begins - 1, **pages)
    first, second, third = (corrected(records(shop, 150, seed=n, **pages)) for n in (3, 4, 5))
    # A decision is corrected after the kill whose first reward came before it.
    first, later = first[:-40], first[-40:]
    await give(topics, [*old, *first, b"?"])
    number = len({each["decision"]["decision_id"] for each in first})
    async with evaluating(topics, tmp_path, **SAYS_ALL) as (process, _):
        await put(topics, "candidates", about)
        check(await said(topics, number), expected(await rewards(topics), made, begins, metrics=("pages",)))
        process.kill()
    folder = tmp_path / "state" / "shadows"
    (saved,) = folder.glob("*.npz")
    if snapshot == "lost":
        shutil.rmtree(folder)
    elif snapshot == "torn":
        saved.write_bytes(saved.read_bytes()[:-100])
    await give(topics, [*later, *second])
    async with evaluating(topics, tmp_path, **SAYS_ALL) as (process, http):
        found = await said(topics, 300)
        check(found, expected(await rewards(topics), made, begins, metrics=("pages",)))
        await give(topics, third)
        check(await said(topics, 450), expected(await rewards(topics), made, begins, metrics=("pages",)))
        labels = f'application="shop",candidate="{about.candidate_id}"'
        await until_measured(http, f"streamwheel_shadow_difference{{{labels}}}")
        assert await process.stop() == 0
    assert len([each for each in await evaluations(topics) if each.kind == "log"]) == 1


async def test_decisions_count_once_their_window_is_closed(topics: BrokerSettings, tmp_path: Path) -> None:
    """Rewards on interaction come before their silent neighbours': alone they would flatter."""
    early = "reward: {wait: 8s, emission: on_interaction}\n"
    shop = applications(tmp_path / "applications", early)["shop"]
    made, begins = policy(1.0), now_ms() - 400_000
    about = candidate(artefact(tmp_path / "made", made), started_at=begins)
    found = [
        {**each, "decision_time": begins + 1000 * n, "reward_time": begins + 1000 * n + 8000}
        for n, each in enumerate(records(shop, 300))
    ]
    await give(topics, found)
    wanted = expected(await rewards(topics), made, begins, wait=8000)
    assert 280 < wanted.decisions < 300
    async with evaluating(topics, tmp_path, **SAYS_ALL):
        await put(topics, "candidates", about)
        check(await said(topics, wanted.decisions), wanted)


async def test_what_flows_settles_what_the_log_left_open(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    better, worse = (artefact(tmp_path / "made", policy(slope)) for slope in (1.0, -1.0))
    async with evaluating(topics, tmp_path) as (_, http):
        await put(topics, "candidates", candidate(better), candidate(worse))
        assert [each.verdict for each in await judged(topics, 2)] == ["inconclusive"] * 2
        await give(topics, records(shop, 1500))
        found = await settled(topics, 2)
        assert found[better.id].verdict == "pass"
        assert found[worse.id].verdict == "fail"

        async def dropped() -> bool:
            return worse.id not in (await http.get("/metrics")).text

        await until(dropped)  # a candidate that failed is not followed
        deployment = Deployment("shop", 1, now_ms(), Deployed("default"), blocked=(better.id,))
        assert better.id in (await http.get("/metrics")).text
        await put(topics, "deployments", replace(deployment))

        async def blocked() -> bool:
            return better.id not in (await http.get("/metrics")).text

        await until(blocked)
    (metric,) = found[better.id].metrics
    assert metric.difference_low > 0
    assert np.isfinite(metric.high)
    assert metric.estimator == "snips"
