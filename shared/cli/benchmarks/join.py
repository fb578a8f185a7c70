"""Decisions ⋈ interactions, preloaded on a real Kafka: the reward calculator beside quixstreams and Faust.

Every rate is that of the output topic: records per second of the broker's clock, from the first append to the
last. The reward calculator writes exactly once; the peers' programs are in `peers`, with their defaults.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaAdminClient

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import free_block
from shared.broker.settings import BrokerSettings
from shared.broker.topics import DEFAULT_PARTITIONS, TOPICS, ensure_topics
from shared.cli.benchmarks import records
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import measured, peer_command
from shared.cli.benchmarks.topic_work import append_times, fill, rate
from shared.cli.output import say

PAIRS = 200_000
RUNS = 3
"""Of the reward calculator; the middle one counts. The first run's topics are the peers'."""
FAUST_PAIRS = 20_000
"""Stock Faust is stopped after so many rewards: it would take minutes for all."""
LARGE_PAIRS, LARGE_BYTES = 20_000, 10_000
REFERENCE_MB_PER_S = 20.0
"""What the managed service of this kind allowed, with interactions of 10 kB."""
SEED = 1


def run() -> dict[str, Any]:
    """Measure. Raises BrokerError, ProcessFailed, Stalled."""
    on = machine()
    with (
        tempfile.TemporaryDirectory(prefix="streamwheel-join-", ignore_cleanup_errors=True) as folder,
        EmbeddedBroker(Path(folder) / "kafka", free_block(HOST, 2), heap_mb=1024) as broker,
    ):
        work = _Work(broker.settings, Path(folder))
        ours = [asyncio.run(work.ours(f"run{n}-", PAIRS)) for n in range(RUNS)]
        large = asyncio.run(work.ours("large-", LARGE_PAIRS, LARGE_BYTES)) * LARGE_BYTES / 1e6
        quix = asyncio.run(work.peer("quixstreams_join", "run0-", "quix-rewards", PAIRS))
        faust = asyncio.run(work.peer("faust_join", "run0-", "faust-rewards", FAUST_PAIRS))
    joined = statistics.median(ours)
    return {
        "benchmark": "join",
        "figures": {
            "joined_per_s": round(joined),
            "runs": [round(each) for each in ours],
            "large_mb_per_s": round(large, 1),
            "pairs": PAIRS,
            "processes": 1,
            "writing": "exactly once",
        },
        "peers": {
            "quixstreams_joined_per_s": round(quix),
            "faust_joined_per_s": round(faust),
            "faust_pairs": FAUST_PAIRS,
            "managed_service_mb_per_s": REFERENCE_MB_PER_S,
        },
        "ratios": {
            "quixstreams": round(joined / quix, 2),
            "faust": round(joined / faust, 2),
            "managed_service": round(large / REFERENCE_MB_PER_S, 2),
        },
        "machine": on,
    }


class _Work:
    """One broker, and a prefix of the topics for each measurement."""

    def __init__(self, settings: BrokerSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._applications = records.write_application(folder / "applications")

    async def ours(self, prefix: str, pairs: int, extra_bytes: int = 0) -> float:
        """Rewards per second of one reward calculator."""
        settings = self._settings.model_copy(update={"topic_prefix": prefix})
        say(f"{prefix}: writing {pairs:,} decisions and interactions")
        ensure_topics(settings)
        await _preload(settings, pairs, extra_bytes)
        environment: Mapping[str, str] = {
            "STREAMWHEEL_BROKER": settings.broker,
            "STREAMWHEEL_TOPIC_PREFIX": prefix,
            "STREAMWHEEL_APPLICATIONS": str(self._applications),
            "STREAMWHEEL_PORT": str(free_block(HOST, 1)),
        }
        command = [sys.executable, "-m", "services.reward_calculator"]
        with measured(command, self._folder / f"{prefix}calculator.log", environment) as process:
            found = rate(await append_times(settings, "rewards", pairs, process.alive))
        say(f"{prefix}: {found:,.0f} joined/s")
        return found

    async def peer(self, name: str, prefix: str, topic: str, pairs: int) -> float:
        """Rewards per second of a peer over the topics of `prefix`."""
        settings = self._settings.model_copy(update={"topic_prefix": prefix})
        _create_like_rewards(settings, topic)
        arguments = [settings.broker, prefix]
        if name == "quixstreams_join":
            arguments.append(str(self._folder / name))
        own_libraries = name != "faust_join"
        command = peer_command(name, *arguments, own_libraries=own_libraries)
        with measured(command, self._folder / f"{name}.log") as process:
            found = rate(await append_times(settings, topic, pairs, process.alive))
        say(f"{name}: {found:,.0f} joined/s")
        return found


async def _preload(settings: BrokerSettings, pairs: int, extra_bytes: int) -> None:
    random = np.random.default_rng(SEED)
    keys = records.ids(0, pairs)
    actions = random.integers(records.ACTIONS, size=pairs)
    contexts = random.standard_normal((pairs, records.FEATURES), np.float32)
    await fill(settings, "decisions", keys, records.decisions(keys, actions, contexts))
    await fill(settings, "interactions", keys, records.interactions(keys, extra_bytes))


def _create_like_rewards(settings: BrokerSettings, topic: str) -> None:
    """A peer's output: a topic as `rewards` is."""
    client = KafkaAdminClient(**settings.kafka_python())
    configuration = {"num_partitions": DEFAULT_PARTITIONS, "configs": dict(TOPICS["rewards"].settings)}
    try:
        client.create_topics({settings.topic(topic): configuration})
    finally:
        client.close()
