"""Rewards into a LinUCB model of 20 actions and 20 features, preloaded on a real Kafka: one learner process
beside Vowpal Wabbit's native driver on the same examples.

The learner's rate is that of what it publishes: rewards whose statistics readers have, per second, from its
first publication to the one that holds the last reward. Every publication is a transaction with snapshots
and offsets.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import TopicPartition
from numpy.typing import NDArray

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import free_block
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from shared.cli.benchmarks import records
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import Measured, ProcessFailed, measured, peer_command
from shared.cli.benchmarks.topic_work import FETCH_MS, STALLED_S, Stalled, fill, reader
from shared.cli.output import say
from shared.wire.codec import decode
from shared.wire.policy_updates import read_progress
from shared.wire.rewards import encode_rewards
from shared.wire.schemas import schema

REWARDS = 1_000_000
RUNS = 3
"""Of the learner, each over topics of its own; the middle one counts."""
EXAMPLES = 400_000
"""Of them, for Vowpal Wabbit."""
CHUNK = 100_000
SEED = 1
LOGGED_PROBABILITY = 1 / records.ACTIONS
PROGRESS = b"progress/"

Floats = NDArray[np.float64]


def run() -> dict[str, Any]:
    """Measure. Raises BrokerError, ProcessFailed, Stalled."""
    on = machine()
    with tempfile.TemporaryDirectory(prefix="streamwheel-learn-", ignore_cleanup_errors=True) as folder:
        with EmbeddedBroker(Path(folder) / "kafka", free_block(HOST, 2), heap_mb=1024) as broker:
            ours = [asyncio.run(_learner(broker.settings, Path(folder), f"run{n}-")) for n in range(RUNS)]
        vw = _vowpal_wabbit(Path(folder))
    learnt = statistics.median(ours)
    return {
        "benchmark": "learn",
        "figures": {
            "rewards_per_s": round(learnt),
            "runs": [round(each) for each in ours],
            "rewards": REWARDS,
            "actions": records.ACTIONS,
            "features": records.FEATURES,
            "processes": 1,
            "writing": "exactly once",
        },
        "peers": {name: round(rate) for name, rate in vw.items()},
        "ratios": {name: round(learnt / rate, 2) for name, rate in vw.items()},
        "machine": on,
    }


async def _learner(broker: BrokerSettings, folder: Path, prefix: str) -> float:
    settings = broker.model_copy(update={"topic_prefix": prefix})
    applications = records.write_application(folder / "applications")
    say(f"{prefix}: writing {REWARDS:,} rewards")
    ensure_topics(settings)
    for first in range(0, REWARDS, CHUNK):
        keys, actions, contexts, rewards = _examples(first, CHUNK)
        await fill(settings, "rewards", keys, _records(keys, actions, contexts, rewards, first))
    environment = {
        "STREAMWHEEL_BROKER": settings.broker,
        "STREAMWHEEL_TOPIC_PREFIX": prefix,
        "STREAMWHEEL_APPLICATIONS": str(applications),
        "STREAMWHEEL_PORT": str(free_block(HOST, 1)),
    }
    command = [sys.executable, "-m", "services.online_bandit.learner"]
    with measured(command, folder / f"{prefix}learner.log", environment) as process:
        found = await _published(settings, process)
    say(f"{prefix}: {found:,.0f} rewards/s")
    return found


async def _published(settings: BrokerSettings, process: Measured) -> float:
    """Rewards per second from the first publication to the last, by the clock of who writes them.

    Raises Stalled, and ProcessFailed.
    """
    where = TopicPartition(settings.topic("policy-updates"), 0)
    learnt: dict[int, int] = {}
    first: tuple[int, int] | None = None
    heard = time.monotonic()
    async with reader(settings) as consumer:
        consumer.assign([where])
        while True:
            fetched = await consumer.getmany(timeout_ms=FETCH_MS)
            for record in (each for part in fetched.values() for each in part):
                if not record.key.startswith(PROGRESS):
                    continue
                heard = time.monotonic()
                update = decode(schema("policy-updates"), record.value)
                learnt[update["partition"]] = _offset(update)
                total = sum(learnt.values())
                first = first or (record.timestamp, total)
                if total >= REWARDS:
                    return (total - first[1]) / max(1, int(record.timestamp) - first[0]) * 1000
            process.alive()
            if time.monotonic() - heard > STALLED_S:
                raise Stalled(f"the learner has stopped at {sum(learnt.values()):,} of {REWARDS:,} rewards")


def _offset(progress: dict[str, Any]) -> int:
    """How many rewards of its partition the benchmark's policy has learnt."""
    return next(at for name, at in read_progress(progress).items() if name[0] == records.APPLICATION)


def _examples(first: int, count: int) -> tuple[list[bytes], records.Ints, records.Floats, Floats]:
    """Keys, actions, contexts and rewards of examples numbered from `first`."""
    random = np.random.default_rng([SEED, first])
    actions = random.integers(records.ACTIONS, size=count)
    contexts = random.standard_normal((count, records.FEATURES), np.float32)
    liked = random.random(count) < 1 / (1 + np.exp(-contexts[np.arange(count), actions]))
    return records.ids(first, count), actions, contexts, liked.astype(np.float64)


def _records(
    keys: list[bytes], actions: records.Ints, contexts: records.Floats, rewards: Floats, first: int
) -> list[bytes]:
    now = int(time.time() * 1000)
    return encode_rewards(
        records.decisions(keys, actions, contexts),
        reward=rewards,
        components={"sum": rewards},
        previous_reward=0.0,
        revision=0,
        is_default=False,
        interactions=1,
        reward_version="generic",
        decision_time=now,
        decision_offset=np.arange(first, first + len(keys)),
        reward_time=now,
    )


def _vowpal_wabbit(folder: Path) -> dict[str, float]:
    """Examples per second of the native driver, over text and over its own binary cache."""
    file = folder / "examples.vw"
    say(f"vw: writing {EXAMPLES:,} examples")
    with file.open("w") as lines:
        for first in range(0, EXAMPLES, CHUNK):
            _, actions, contexts, rewards = _examples(first, CHUNK)
            for action, context, reward in zip(actions + 1, contexts.tolist(), rewards, strict=True):
                named = zip(records.FEATURE_NAMES, context, strict=True)
                features = " ".join(f"{name}:{value:.6f}" for name, value in named)
                lines.write(f"{action}:{-reward:g}:{LOGGED_PROBABILITY} | {features}\n")
    command = peer_command("vw_learn", str(file), str(records.ACTIONS), str(EXAMPLES))
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ProcessFailed(result.stderr)
    rates: dict[str, float] = json.loads(result.stdout)
    found = {f"vw_{name}": rate for name, rate in rates.items()}
    say(", ".join(f"{name}: {rate:,.0f}" for name, rate in found.items()))
    return found
