"""Every product on a running loop: decided, told, rewarded as its function says, learnt and audited."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np

from shared.applications.registry import load
from shared.applications.simulation import Told, load_simulator, simulated
from shared.broker.settings import BrokerSettings
from shared.cli.audit.audit import audit
from shared.cli.audit.findings import INVARIANTS
from shared.cli.audit.journal import Ids, Journal
from shared.cli.running import running
from shared.cli.topic_log import open_log
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from tests.applications.rewards import row, together
from tests.waiting import wait_for

DECISIONS = 30
"""Of each application."""
Played = dict[str, list[tuple[str, list[Told]]]]


def play(name: str, decisions: str, collector: str) -> list[tuple[str, list[Told]]]:
    """Decide about situations, and tell what followed, in one request each."""
    simulator, random = load_simulator(name), np.random.default_rng(0)
    situations = [simulator.start(random) for _ in range(DECISIONS)]
    body = [
        {
            "application": name,
            "subject_id": situation.subject_id,
            "decision_id": f"{name}-{number}",
            "context": situation.context,
        }
        for number, situation in enumerate(situations)
    ]
    reply = httpx.post(f"{decisions}/v1/decisions/batch", json={"decisions": body}, timeout=20)
    assert reply.status_code == 200, reply.text
    played = [
        (each["decision_id"], simulator.follow(situation, each["action"], random)[0])
        for situation, each in zip(situations, reply.json()["decisions"], strict=True)
    ]
    told = [
        {**each, "interaction_id": f"{decision_id}-{n}", "decision_id": decision_id, "application": name}
        for decision_id, several in played
        for n, each in enumerate(several)
    ]
    reply = httpx.post(f"{collector}/v1/interactions", json={"interactions": told}, timeout=20)
    assert reply.status_code == 202, reply.text
    return played


def journal(played: Played) -> Journal:
    events = [each for several in played.values() for each in several]
    interactions = {f"{decision_id}-{n}" for decision_id, told in events for n in range(len(told))}
    return Journal(Ids({decision_id for decision_id, _ in events}), Ids(interactions))


def local(name: str, played: list[tuple[str, list[Told]]]) -> dict[str, float]:
    """decision_id → what the reward function gives for what was told."""

    def read(each: Told) -> dict[str, Any]:
        return row(each["type"], each.get("value"), **each.get("attributes", {}))

    rewards = together(load()[name], [list(map(read, told)) for _, told in played]).reward
    return dict(zip((decision_id for decision_id, _ in played), rewards.tolist(), strict=True))


def table(settings: BrokerSettings) -> dict[str, float]:
    """decision_id → its newest reward in the topic."""
    found: dict[str, float] = {}
    with open_log(settings) as log:
        for partition in log.partitions("rewards"):
            for records in log.read("rewards", partition):
                frame = decode_columns(schema("rewards"), records.values).frame
                ids = frame["decision"].struct.field("decision_id").to_list()
                found |= zip(ids, frame["reward"].to_list(), strict=True)
    return found


def test_five_products_are_decided_rewarded_learnt_and_audited(tmp_path: Path) -> None:
    products = {name: load()[name] for name in simulated()}
    with running(tmp_path) as addresses:
        settings, decisions = addresses.broker_settings, addresses.url("decisions")
        played = {name: play(name, decisions, addresses.url("collector")) for name in products}

        def learnt(name: str) -> bool:
            reply = httpx.get(f"{decisions}/v1/policies/{name}", timeout=20)
            return bool(reply.json()["rewards_learnt"] >= DECISIONS)

        wait_for(lambda: all(map(learnt, products)), 60)
        rewards = table(settings)
        found = audit(settings, products, journal(played))
    assert rewards == {key: reward for name in products for key, reward in local(name, played[name]).items()}
    assert found.verdicts == dict.fromkeys(INVARIANTS, "holds")
    assert found.figures["defaults"] == 0
