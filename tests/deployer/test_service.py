"""The deployer on a real Kafka: an evaluation is the gate, and guards watch every stage."""

from pathlib import Path

import numpy as np

from shared.broker.settings import BrokerSettings
from tests.deployer.processes import (
    Product,
    applications,
    artefact,
    deploying,
    deployments,
    evaluation,
    happened,
    serving,
    stages,
    submit,
)


def earning(**means: float):
    """Rewards about the arms' means."""

    def earns(arm: str, random: np.random.Generator) -> float:
        return float(random.normal(means[arm], 0.1))

    return earns


async def test_a_good_candidate_becomes_stable_by_itself(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    good = artefact(tmp_path, 1)
    async with (
        deploying(topics, tmp_path) as (process, _),
        serving(Product(topics, shop, earning(stable=0.5, canary=0.6))),
    ):
        await submit(topics, evaluation(good))
        events = await happened(topics, "stable")
        assert await process.stop() == 0
    assert stages(events, good.id) == [
        ("queued", 0.0),
        ("started", 0.0),
        ("advanced", 0.1),
        ("advanced", 0.5),
        ("advanced", 1.0),
        ("advanced", 1.0),
        ("stable", 0.0),
    ]
    last = (await deployments(topics))[-1]
    assert (last.stable.policy, last.stable.artefact, last.canary) == (good.id, str(good.folder), None)
