"""Rewards to learn from, and the learner as a process."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.broker.settings import BrokerSettings
from shared.core.features.maps import feature_map
from shared.core.policies.learner import Learner
from shared.wire.codec import decode, encode
from shared.wire.policy_replicas import Replicas
from shared.wire.schemas import schema
from tests.processes import ServiceProcess
from tests.waiting import until

PARTITIONS = 4
DECIDED = 1_700_000_000_000
Raw = bytes | None


def reward(application: Application, random: np.random.Generator, /, **changes: Any) -> dict[str, Any]:
    """A reward record that the application's policy can learn; `changes` may name fields of the decision."""
    width = application.action_width
    actions = [f"item-{n}" for n in range(int(random.integers(2, 6)))] if width else []
    record = {
        "decision": {
            "decision_id": random.bytes(8).hex(),
            "application": application.name,
            "subject_id": "s",
            "policy": "main",
            "policy_version": 1,
            "policy_offsets": [],
            "action": str(random.choice(actions or application.actions)),
            "propensity": 0.5,
            "actions": actions,
            "probabilities": [],
            "context": random.normal(size=application.context_width).astype(np.float32).tolist(),
            "action_features": random.normal(size=len(actions) * width).astype(np.float32).tolist(),
            "attributes": [],
            "deferred": False,
            "arm": None,
            "share": None,
            "mixture_propensity": None,
            "decided_at": DECIDED,
        },
        "reward": float(random.normal()),
        "components": [],
        "previous_reward": 0.0,
        "revision": 0,
        "is_default": False,
        "interactions": 1,
        "reward_version": "v",
        "decision_time": DECIDED + int(random.integers(1_000_000)),
        "decision_offset": 0,
        "reward_time": DECIDED,
    }
    for name, value in changes.items():
        (record if name in record else record["decision"])[name] = value
    return record


def raw(record: dict[str, Any]) -> bytes:
    """Its bytes."""
    return encode(schema("rewards"), record)


def rewards(application: Application, number: int, seed: int) -> list[Raw]:
    """So many records, every seventh followed by a correction of it."""
    random = np.random.default_rng(seed)
    found: list[Raw] = []
    while len(found) < number:
        first = reward(application, random)
        found.append(raw(first))
        if len(found) % 7 == 0:
            change = {"reward": first["reward"] + 1.5, "previous_reward": first["reward"], "revision": 1}
            found.append(raw({**first, **change}))
    return found[:number]


async def append(broker: BrokerSettings, partitions: dict[int, Sequence[Raw]]) -> None:
    """Write records to partitions of the rewards."""
    producer = AIOKafkaProducer(**broker.aiokafka(), linger_ms=2, enable_idempotence=True)
    await producer.start()
    try:
        topic = broker.topic("rewards")
        for number, values in partitions.items():
            for n, value in enumerate(values):
                await producer.send(topic, value, key=b"k-%d" % n, partition=number)
        await producer.flush()
    finally:
        await producer.stop()


@dataclass
class Expected:
    """Statistics summed row by row, in Python."""

    rows: int
    curvature: np.ndarray
    moment: np.ndarray
    count: np.ndarray


def expected(application: Application, learner: Learner, values: Iterable[Raw]) -> Expected:
    """What a learner with `learner`'s scaling must have after these records (no forgetting)."""
    mapped = feature_map(learner.configuration, learner.width, learner.action_width, learner.scaling)
    assert mapped is not None
    actions, size = learner.actions, learner.folded.size
    found = Expected(0, np.zeros((actions, size, size)), np.zeros((actions, size)), np.zeros(actions))
    for value in values:
        record = decode(schema("rewards"), value)
        decision = record["decision"]
        if decision["application"] != application.name:
            continue
        context, width = decision["context"], application.action_width
        if width:
            at = decision["actions"].index(decision["action"]) * width
            context, action = context + decision["action_features"][at : at + width], 0
        else:
            action = application.actions.index(decision["action"])
        (x,) = mapped(np.array([context], np.float32))
        found.rows += 1
        found.moment[action] += (record["reward"] - record["previous_reward"]) * x
        if record["revision"] == 0:
            found.curvature[action] += np.outer(x, x)
            found.count[action] += 1
    return found


def check(learner: Learner, wanted: Expected) -> None:
    """The learner's statistics are those expected, to 1e-9 of the largest."""
    statistics = learner.statistics
    assert learner.learnt == wanted.rows == statistics.rows.sum()
    for name in ("curvature", "moment", "count"):
        found, sums = getattr(statistics, name), getattr(wanted, name)
        np.testing.assert_allclose(found, sums, rtol=1e-9, atol=1e-9 * np.abs(sums).max(initial=1.0))


async def updates(broker: BrokerSettings) -> list[tuple[bytes, dict[str, Any]]]:
    """Everything on policy-updates that was committed, in log order."""
    consumer = AIOKafkaConsumer(
        **broker.aiokafka(), enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        where = TopicPartition(broker.topic("policy-updates"), 0)
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        end = (await consumer.end_offsets([where]))[where]
        found = []
        while await consumer.position(where) < end:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [(r.key, decode(schema("policy-updates"), r.value)) for r in records]
        return found
    finally:
        await consumer.stop()


async def published(broker: BrokerSettings, *applications: Application) -> Replicas:
    """What a reader of policy-updates knows of the applications' policies."""
    replicas = Replicas({(a.name, policy_name(a)): partial(new_learner, a) for a in applications})
    for _, record in await updates(broker):
        replicas.apply(record)
    return replicas


async def learnt(broker: BrokerSettings, offsets: Sequence[int], *applications: Application) -> Replicas:
    """Wait until all has been published up to these offsets of the partitions, all scaled; what then is."""
    found: list[Replicas] = []

    async def reached() -> bool:
        found[:] = [await published(broker, *applications)]
        policies = found[0].policies.values()
        return all(p.offsets >= tuple(offsets) and p.scaling is not None for p in policies)

    await until(reached, 60)
    return found[0]


class LearnerProcess(ServiceProcess):
    """A learner that can be killed."""

    def __init__(self, broker: BrokerSettings, applications: Path, log: Path, **environment: str) -> None:
        given = {"STREAMWHEEL_APPLICATIONS": str(applications)}
        super().__init__("services.online_bandit.learner", broker, log, **given | environment)


@asynccontextmanager
async def learning(
    broker: BrokerSettings, applications: Path, **environment: str
) -> AsyncIterator[LearnerProcess]:
    """A learner while the context is open."""
    process = LearnerProcess(broker, applications, applications.parent / "learner.log", **environment)
    process.start()
    try:
        yield process
    finally:
        process.kill()
