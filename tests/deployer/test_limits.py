"""Hard limits on rates of errors and on latencies, whatever the reward says."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from services.deployer.reading import Metric
from shared.broker.settings import BrokerSettings
from tests.deployer.processes import (
    Product,
    applications,
    artefact,
    deploying,
    evaluation,
    happened,
    serving,
    stages,
    submit,
)

LIMITS = """measures:
  - {name: error_rate, types: [error]}
  - {name: latency_ms, types: [shown], attribute: latency_ms}
guards:
  - {metric: margin, at_least: -5}
  - {metric: error_rate, higher_is_better: false, at_most: 0.1}
  - {metric: latency_ms, quantile: 0.95, at_most: 800, samples: 50}
"""
FINE = {"errors": 0.0, "slow": 0.0}
"""Shares of decisions with an error, and of those shown too late."""
CHANGED = {"guards: [{metric: margin, at_least: -5}]\n": LIMITS}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"errors": 0.4, "slow": 0.0}, "error_rate"),
        ({"errors": 0.0, "slow": 0.3}, "latency_ms_above_800"),
    ],
    ids=["errors", "latency"],
)
async def test_a_candidate_that_fails_or_is_slow_is_taken_back_though_it_earns_more(
    topics: BrokerSettings, tmp_path: Path, broken: Mapping[str, float], words: str
) -> None:
    shop = applications(tmp_path / "applications", CHANGED)["shop"]
    good, bad = artefact(tmp_path, 1), artefact(tmp_path, 2)
    shares = {bad.id: broken}

    def earns(arm: str, random: np.random.Generator) -> float:
        return float(random.normal({"stable": 0.5, "canary": 0.7}[arm], 0.1))

    product = Product(topics, shop, earns)

    def told(arm: str, random: np.random.Generator) -> Mapping[str, float]:
        canary = product.deployment and product.deployment.canary
        found = shares.get(canary.policy, FINE) if canary and arm == "canary" else FINE
        failed, late = random.random() < found["errors"], random.random() < found["slow"]
        return {"error_rate": float(failed), "latency_ms": 2000.0 if late else 90.0}

    product.measures = told
    async with deploying(topics, tmp_path), serving(product):
        await submit(topics, evaluation(bad))
        events = await happened(topics, "rolled-back")
        *_, last = events
        assert (last.policy, last.by) == (bad.id, "guard")
        assert words in last.cause
        assert last.numbers[f"{words}_canary"] > last.numbers[f"{words}_stable"]
        assert [what for what, _ in stages(events, bad.id)][-2:] == ["blacklisted", "rolled-back"]
        assert ("advanced", 0.5) not in stages(events, bad.id)
        await submit(topics, evaluation(good))
        await happened(topics, "stable")


def test_what_nobody_did_anything_after_has_no_amount_and_a_rate_of_zero() -> None:
    rate, slow = Metric("error_rate", rate=True), Metric("latency_ms", above=800.0)
    assert Metric("reward").value(0.5, {}, True) == 0.5
    assert (rate.value(0.0, {}, True), slow.value(0.0, {"latency_ms": 0.0}, True)) == (0.0, None)
    told = {"error_rate": 1.0, "latency_ms": 801.0}
    assert (rate.value(0.0, told, False), slow.value(0.0, told, False)) == (1.0, 1.0)
    assert slow.value(0.0, {"latency_ms": 800.0}, False) == 0.0
    assert slow.value(0.0, {"latency_ms": float("nan")}, False) is None
    assert rate.value(0.0, {}, False) is None
