"""The deployer as a process, the evaluator and the decision API that it talks to, and what they write."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.algorithms import artefacts
from shared.algorithms.manifest import Manifest
from shared.applications.contract import Application
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.core.rollout.assignment import is_canary
from shared.wire.rollouts import (
    Deployment,
    DeploymentEvent,
    Evaluation,
    read_deployment,
    read_evaluation,
    read_event,
)
from tests.broker.reading import read_all
from tests.online_bandit.rewards import raw, reward
from tests.processes import ServiceProcess
from tests.waiting import LIMIT, until

KEY = b"an assignment key"
SHOP = """
application: shop
features: [{name: age, type: numeric}]
actions: [banner, list]
reward: {wait: 1s, hold: 1s}
guards: [{metric: margin, at_least: -5}]
rollout:
  stages:
    - {name: shadow, share: 0, bake: 100ms, samples: 0}
    - {name: 10 %, share: 0.1, bake: 300ms, samples: 40}
    - {name: 50 %, share: 0.5, bake: 300ms, samples: 40}
    - {name: 100 %, share: 1, bake: 300ms, samples: 20}
    - {name: watch, share: 1, bake: 300ms, samples: 20}
"""
STAGES = ["shadow", "10 %", "50 %", "100 %", "watch"]


def now() -> int:
    """Milliseconds."""
    return time.time_ns() // 1_000_000


def applications(folder: Path, replaced: Mapping[str, str] = MappingProxyType({})) -> dict[str, Application]:
    """The shop as a file in a folder; `replaced` says which words stand for which."""
    text = SHOP
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(exist_ok=True)
    (folder / "shop.yaml").write_text(text)
    return load([folder])


def artefact(folder: Path, seed: int, *files: str) -> artefacts.Artefact:
    """A small artefact of these files that can be verified."""

    def build(made: Path) -> Manifest:
        for name in files or ("weights.json",):
            (made / name).write_text(f"[{seed}]")
        return Manifest(
            application="shop",
            algorithm="ucb",
            parameters={},
            seed=seed,
            inputs={},
            lineage=[],
            metrics={},
            libraries={},
            files=artefacts.digests(made),
        )

    return artefacts.write(folder / "artefacts", build)


def evaluation(made: artefacts.Artefact, evaluation_id: str = "", **changes: Any) -> Evaluation:
    """An evaluation of an artefact that passes."""
    given = {"kind": "log", "verdict": "pass", "at": now(), **changes}
    name = evaluation_id or f"e-{made.id[:8]}"
    return Evaluation(
        name, "shop", made.id, algorithm="ucb", artefact=str(made.folder), decisions=500, **given
    )


async def put(broker: BrokerSettings, topic: str, *values: bytes | None, key: bytes = b"shop") -> None:
    """Write records to a topic of one partition."""
    producer = AIOKafkaProducer(**broker.aiokafka(), enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(broker.topic(topic), value, key=key, partition=0)
    finally:
        await producer.stop()


async def submit(broker: BrokerSettings, *evaluations: Evaluation) -> None:
    """Write evaluations."""
    await put(broker, "evaluations", *(each.encode() for each in evaluations))


async def audit(broker: BrokerSettings) -> list[DeploymentEvent]:
    """Every line of the audit."""
    found = await read_all(broker, broker.topic("deployment-events"), partitions=1)
    return [read_event(record.value) for record in found]


async def deployments(broker: BrokerSettings) -> list[Deployment]:
    """Every record of deployments."""
    found = await read_all(broker, broker.topic("deployments"), partitions=1)
    return [read_deployment(record.value) for record in found]


async def finished(broker: BrokerSettings) -> list[Evaluation]:
    """What stages realised."""
    found = await read_all(broker, broker.topic("evaluations"), partitions=1)
    read = [read_evaluation(record.value) for record in found]
    return [each for each in read if each.kind == "stage"]


async def happened(
    broker: BrokerSettings, what: str, number: int = 1, limit: float = LIMIT
) -> list[DeploymentEvent]:
    """The audit, once it has so many lines of a kind."""
    found: list[DeploymentEvent] = []

    async def there() -> bool:
        found[:] = await audit(broker)
        return sum(each.what == what for each in found) >= number

    try:
        await until(there, limit)
    except TimeoutError:
        raise AssertionError(f"no {what} in {[(e.what, e.stage, e.cause) for e in found]}") from None
    return found


async def rolled_out(http: httpx.AsyncClient, **wanted: Any) -> Any:
    """How shop's rollouts stand, once as wanted: others can read the log before the deployer goes by it."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        found.update((await http.get("/v1/rollouts/shop")).json())
        return all(found[key] == value for key, value in wanted.items())

    try:
        await until(there)
    except TimeoutError:
        raise AssertionError(f"not {wanted} in {found}") from None
    return found


class Product:
    """A decision API and all that follows it: obeys the newest deployment, writes rewards of its decisions.

    `earns(arm, random)` is the reward; the canary gets `skew` times the subjects that are due.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        application: Application,
        earns: Callable[[str, np.random.Generator], float],
        skew: float = 1.0,
        per_round: int = 20,
    ) -> None:
        self._broker, self._application = broker, application
        self._skew, self._per_round, self.earns = skew, per_round, earns
        self.measures: Callable[[str, np.random.Generator], Mapping[str, float]] = lambda arm, random: {}
        """More components of an arm's rewards."""
        self._random = np.random.default_rng(5)
        self.deployment: Deployment | None = None
        self.seen: dict[int, float] = {}
        """When each sequence number was obeyed, by the monotonic clock."""
        self.decided: list[tuple[float, str]] = []
        """When, and the arm."""

    async def run(self) -> None:
        """Until cancelled."""
        producer = AIOKafkaProducer(**self._broker.aiokafka(), linger_ms=2, enable_idempotence=True)
        consumer = AIOKafkaConsumer(
            **self._broker.aiokafka(), isolation_level="read_committed", fetch_max_wait_ms=20
        )
        await producer.start()
        await consumer.start()
        try:
            where = TopicPartition(self._broker.topic("deployments"), 0)
            consumer.assign([where])
            await consumer.seek_to_beginning(where)
            for turn in count():
                for records in (await consumer.getmany(timeout_ms=5)).values():
                    for record in records:
                        self.deployment = read_deployment(record.value)
                        self.seen.setdefault(self.deployment.sequence, time.monotonic())
                if self.deployment is not None and self.deployment.stage:
                    for n in range(self._per_round):
                        value = self._decide(self.deployment, f"s-{turn}-{n}")
                        await producer.send(self._broker.topic("rewards"), value, key=b"k", partition=n % 4)
                await asyncio.sleep(0.01)
        finally:
            await consumer.stop()
            await producer.stop()

    def _decide(self, deployment: Deployment, subject: str) -> bytes:
        share = deployment.share
        chosen = bool(share) and is_canary(subject, min(1.0, share * self._skew), deployment.salt, KEY)
        canary = deployment.canary if chosen else None
        arm = ("canary" if canary else "stable") if share else None
        self.decided.append((time.monotonic(), arm or ""))
        earned = self.earns(arm or "stable", self._random)
        return raw(
            reward(
                self._application,
                self._random,
                subject_id=subject,
                policy=canary.policy if canary else f"{deployment.stable.policy}@0123456789abcdef",
                arm=arm,
                share=None if arm is None else share if canary else 1 - share,
                reward=earned,
                components=[
                    {"name": name, "value": value}
                    for name, value in {
                        "margin": earned / 2,
                        **self.measures(arm or "stable", self._random),
                    }.items()
                ],
                decided_at=now(),
                decision_time=now(),
                reward_time=now(),
            )
        )


@asynccontextmanager
async def serving(product: Product) -> AsyncIterator[Product]:
    """A product that decides while the context is open."""
    task = asyncio.create_task(product.run())
    try:
        yield product
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class DeployerProcess(ServiceProcess):
    """A deployer that can be killed."""

    def __init__(self, broker: BrokerSettings, folder: Path, **environment: str) -> None:
        given = {
            "STREAMWHEEL_APPLICATIONS": str(folder / "applications"),
            "STREAMWHEEL_INSTANCE": "deployer-1",
            "OLLAMA_HOST": "",
        }
        super().__init__("services.deployer", broker, folder / "deployer.log", **given | environment)


def deploying(
    broker: BrokerSettings, folder: Path, **environment: str
) -> AbstractAsyncContextManager[tuple[DeployerProcess, httpx.AsyncClient]]:
    """A deployer that leads, and a client of it, while the context is open."""
    return DeployerProcess(broker, folder, **environment).running()


def stages(events: Sequence[DeploymentEvent], policy: str) -> list[tuple[str, float]]:
    """(what, share) of a policy's transitions, in order."""
    return [(each.what, each.share) for each in events if each.policy == policy and each.what != "held"]
