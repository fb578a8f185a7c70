"""The trainer as a process, what it reads, and what it writes."""

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from aiokafka import AIOKafkaProducer

from shared.applications.contract import Application
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.wire.training import Candidate, Trigger, read_candidate
from tests.broker.reading import read_all
from tests.online_bandit.rewards import append, raw, reward
from tests.processes import ServiceProcess
from tests.waiting import LIMIT, until

SHOP = """
application: shop
features: [{name: age, type: numeric}, {name: basket, type: numeric}]
actions: [banner, list]
"""
FAKE = f"{sys.executable} -m tests.trainer.fake_training"


def applications(folder: Path, *more: str) -> dict[str, Application]:
    """The shop, and others like it, as files in a folder."""
    folder.mkdir(exist_ok=True)
    for name in ("shop", *more):
        (folder / f"{name}.yaml").write_text(SHOP.replace("application: shop", f"application: {name}"))
    return load([folder])


async def give_rewards(
    broker: BrokerSettings, application: Application, number: int, seed: int = 1, **changes: Any
) -> None:
    """So many rewards, in all partitions: the banner is liked by who is older."""
    random = np.random.default_rng(seed)
    partitions: dict[int, list[bytes | None]] = {n: [] for n in range(4)}
    for n in range(number):
        given = {"subject_id": f"s-{seed}-{n}", "decision_time": time.time_ns() // 1_000_000, **changes}
        record = reward(application, random, **given)
        decision = record["decision"]
        liked = (decision["context"][0] > 0) == (decision["action"] == "banner")
        partitions[n % 4].append(raw({**record, "reward": float(liked)}))
    await append(broker, partitions)


def request(request_id: str, application: str = "shop", **fields: Any) -> Trigger:
    """A request to train."""
    now = time.time_ns() // 1_000_000
    given = {"reason": "manual", "requested_by": "test", "requested_at": now, **fields}
    return Trigger(request_id, application, **given)


async def ask(broker: BrokerSettings, *triggers: Trigger | bytes | None) -> None:
    """Put requests, or other bytes, on retrain-triggers."""
    producer = AIOKafkaProducer(**broker.aiokafka(), enable_idempotence=True)
    await producer.start()
    try:
        for each in triggers:
            value = each.encode() if isinstance(each, Trigger) else each
            key = each.application.encode() if isinstance(each, Trigger) else b"a key"
            await producer.send_and_wait(broker.topic("retrain-triggers"), value, key=key)
    finally:
        await producer.stop()


async def candidates(broker: BrokerSettings) -> list[Candidate]:
    """Everything on the topic candidates."""
    found = await read_all(broker, broker.topic("candidates"), partitions=1)
    return [read_candidate(record.value) for record in found]


async def answers(broker: BrokerSettings, number: int, limit: float = LIMIT) -> list[Candidate]:
    """The terminal records, once there are so many."""
    found: list[Candidate] = []

    async def there() -> bool:
        found[:] = [each for each in await candidates(broker) if each.terminal]
        return len(found) >= number

    await until(there, limit)
    return found


class TrainerProcess(ServiceProcess):
    """A trainer that can be killed."""

    def __init__(self, broker: BrokerSettings, folder: Path, **environment: str) -> None:
        self.state = folder / "state"
        given = {
            "STREAMWHEEL_APPLICATIONS": str(folder / "applications"),
            "STREAMWHEEL_STATE": str(self.state),
            "STREAMWHEEL_INSTANCE": "trainer-1",
            "STREAMWHEEL_BACKOFF": "50ms",
            "STREAMWHEEL_PROGRESS_EVERY": "0s",
            "FAKE_TRAINING": str(folder),
        }
        super().__init__("services.trainer", broker, folder / "trainer.log", **given | environment)


def training(
    broker: BrokerSettings, folder: Path, **environment: str
) -> AbstractAsyncContextManager[tuple[TrainerProcess, httpx.AsyncClient]]:
    """A trainer that is ready, and a client of it, while the context is open."""
    return TrainerProcess(broker, folder, **environment).running()


def behave(folder: Path, application: str, *words: str) -> None:
    """Tell fake trainings of an application what to do, in turn; the last word counts for all later ones."""
    (folder / f"{application}.behaviour").write_text("\n".join(words))


def begun(folder: Path, application: str = "shop") -> Sequence[str]:
    """The orders that fake trainings of an application were started with, in order."""
    path = folder / f"{application}.begun"
    return path.read_text().splitlines() if path.exists() else []
