"""Trained policies for the shop, and the records that deploy them."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
from aiokafka import AIOKafkaProducer

from shared.algorithms.artefacts import Artefact, train
from shared.algorithms.contract import Dataset, Source
from shared.algorithms.parameters import chosen
from shared.algorithms.registry import algorithms
from shared.broker.settings import BrokerSettings
from shared.wire.rollouts import Deployed, Deployment
from tests.online_bandit.shop import ACTIONS

KEY = "a key of the assignment"
NOW = 1_760_000_000_000


def silent(share: float, doing: str) -> None:
    """Progress that nobody follows."""


def shop_candidate(root: Path, likes: str = "mail", seed: int = 0, actions: list[str] = ACTIONS) -> Artefact:
    """A linear policy that has learnt that one action pays."""
    random = np.random.default_rng(seed)
    n = 900
    taken = random.choice(actions, n)
    frame = pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(n)],
            "subject_id": [f"s{i}" for i in range(n)],
            "time": np.arange(n) * 1000,
            "context": random.standard_normal((n, 3)).tolist(),
            "action": taken.tolist(),
            "propensity": np.full(n, 1 / len(actions)),
            "reward": (taken == likes) + 0.1 * random.standard_normal(n),
        }
    )
    source = Source("rewards.jsonl", "ab" * 32, n)
    data = Dataset("shop", {"rewards": frame}, (source,), tuple(actions))
    return made("linear", data, root, {"map": "linear", "ridge": 1.0, "floor": 0.05})


def made(algorithm: str, data: Dataset, root: Path, parameters: Mapping[str, Any]) -> Artefact:
    """Train and keep."""
    found = algorithms()[algorithm]
    declared = found.declaration
    ready = chosen(declared.Parameters, declared.PRESETS, "default", dict(parameters), {})
    return train(found, data, ready, 1, root, silent)


def deployed(artefact: Artefact) -> Deployed:
    """How a deployment names it."""
    return Deployed(artefact.id, artefact.manifest.algorithm, str(artefact.folder), artefact.id)


ONLINE = Deployed("main")
"""The shop's online policy."""


def deployment(sequence: int, stable: Deployed = ONLINE, **more: Any) -> Deployment:
    """Of the shop, unless another application is named."""
    return Deployment(**{"application": "shop", "sequence": sequence, "at": NOW, "stable": stable, **more})


async def deploy(broker: BrokerSettings, *deployments: Deployment) -> float:
    """Write records as a deployer does; when that began, by `perf_counter`."""
    return await write(broker, *((each.application.encode(), each.encode()) for each in deployments))


async def write(broker: BrokerSettings, *records: tuple[bytes, bytes | None]) -> float:
    """Write raw records of `deployments` in one transaction; when that began, by `perf_counter`."""
    producer = AIOKafkaProducer(**broker.aiokafka(), transactional_id=f"test-{uuid.uuid4().hex}")
    await producer.start()
    try:
        began = perf_counter()
        async with producer.transaction():
            for key, value in records:
                await producer.send_and_wait(broker.topic("deployments"), value, key=key)
        return began
    finally:
        await producer.stop()
