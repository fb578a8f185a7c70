"""Rewards from a real Kafka into Parquet (zstd): one trainer process beside the obvious program, which takes
one record at a time through fastavro and then Polars.

The trainer's rate is that of its archive: rewards per second from the first position to the last, each of
which says that everything before it is on disk under its final name. HTTP and watching go on in that process.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import polars as pl
from kafka import KafkaConsumer, TopicPartition

from shared.archive.archive import Archive
from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import free_block
from shared.broker.settings import BrokerSettings
from shared.broker.topics import DEFAULT_PARTITIONS, ensure_topics
from shared.cli.benchmarks import records
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import Measured, measured
from shared.cli.benchmarks.topic_work import STALLED_S, Stalled, fill
from shared.cli.output import say
from shared.wire.rewards import encode_rewards
from shared.wire.schemas import schema

REWARDS = 800_000
RUNS = 3
"""Of the trainer, each over topics and an archive of its own; the middle one counts."""
NAIVE_REWARDS = 60_000
FLUSH = 50_000
"""Rewards of a file, for both: so that there are some thirty files to measure between."""
CHUNK = 100_000
LOOK_S = 0.02
SEED = 1


def run() -> dict[str, Any]:
    """Measure. Raises BrokerError, ProcessFailed, Stalled."""
    on = machine()
    with (
        tempfile.TemporaryDirectory(prefix="streamwheel-archive-", ignore_cleanup_errors=True) as folder,
        EmbeddedBroker(Path(folder) / "kafka", free_block(HOST, 2), heap_mb=1024) as broker,
    ):
        ours = [asyncio.run(_ours(broker.settings, Path(folder), f"run{n}-")) for n in range(RUNS)]
        size = sum(path.stat().st_size for path in (Path(folder) / "run0-state").rglob("*.parquet"))
        naive = _naive(broker.settings.model_copy(update={"topic_prefix": "run0-"}), Path(folder))
    archived = statistics.median(ours)
    return {
        "benchmark": "archive",
        "figures": {
            "rewards_per_s": round(archived),
            "runs": [round(each) for each in ours],
            "rewards": REWARDS,
            "bytes_per_reward": round(size / REWARDS, 1),
            "processes": 1,
            "writing": "exactly once",
        },
        "peers": {"kafka_python_fastavro_polars": round(naive)},
        "ratios": {"kafka_python_fastavro_polars": round(archived / naive, 2)},
        "machine": on,
    }


async def _ours(broker: BrokerSettings, folder: Path, prefix: str) -> float:
    settings = broker.model_copy(update={"topic_prefix": prefix})
    say(f"{prefix}: writing {REWARDS:,} rewards")
    ensure_topics(settings)
    for first in range(0, REWARDS, CHUNK):
        keys = records.ids(first, CHUNK)
        await fill(settings, "rewards", keys, _records(keys, first))
    state = folder / f"{prefix}state"
    environment = {
        "STREAMWHEEL_BROKER": settings.broker,
        "STREAMWHEEL_TOPIC_PREFIX": prefix,
        "STREAMWHEEL_STATE": str(state),
        "STREAMWHEEL_FLUSH_REWARDS": str(FLUSH),
        "STREAMWHEEL_FLUSH_AFTER": "1s",
        "STREAMWHEEL_PORT": str(free_block(HOST, 1)),
    }
    command = [sys.executable, "-m", "services.trainer"]
    with measured(command, folder / f"{prefix}trainer.log", environment) as process:
        found = _archived(Archive(state / "archive"), process)
    say(f"{prefix}: {found:,.0f} rewards/s")
    return found


def _archived(archive: Archive, process: Measured) -> float:
    """Rewards per second from the first position to the last. Raises Stalled, ProcessFailed."""
    first: tuple[float, int] | None = None
    seen, heard = 0, time.monotonic()
    while True:
        total = sum(archive.positions().values())
        now = time.monotonic()
        if total > seen:
            seen, heard = total, now
            first = first or (now, total)
        if total >= REWARDS and first is not None:
            return (total - first[1]) / (now - first[0])
        process.alive()
        if now - heard > STALLED_S:
            raise Stalled(f"the archive has stopped at {seen:,} of {REWARDS:,} rewards")
        time.sleep(LOOK_S)


def _records(keys: list[bytes], first: int) -> list[bytes]:
    random = np.random.default_rng([SEED, first])
    actions = random.integers(records.ACTIONS, size=len(keys))
    contexts = random.standard_normal((len(keys), records.FEATURES), np.float32)
    liked = (random.random(len(keys)) < 0.5).astype(np.float64)
    now = int(time.time() * 1000)
    return encode_rewards(
        records.decisions(keys, actions, contexts),
        reward=liked,
        components={"sum": liked},
        previous_reward=0.0,
        revision=0,
        is_default=False,
        interactions=1,
        reward_version="generic",
        decision_time=now,
        decision_offset=np.arange(first, first + len(keys)),
        reward_time=now,
    )


def _naive(settings: BrokerSettings, folder: Path, clock: Callable[[], float] = time.perf_counter) -> float:
    """Rewards per second of a plain consumer that decodes each record and writes batches, at least once."""
    consumer = KafkaConsumer(
        **settings.kafka_python(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=FLUSH,
    )
    consumer.assign([TopicPartition(settings.topic("rewards"), n) for n in range(DEFAULT_PARTITIONS)])
    reader = schema("rewards").decoder
    rows: list[Any] = []
    began, written = 0.0, 0
    while written < NAIVE_REWARDS:
        polled = consumer.poll(timeout_ms=1_000)
        began = began or clock()
        for record in (each for part in polled.values() for each in part):
            body = io.BytesIO(record.value[10:])
            reward: Any = fastavro.schemaless_reader(body, reader, None)
            rows.append(reward.pop("decision") | reward)
        if len(rows) >= NAIVE_REWARDS // 3:
            frame = pl.DataFrame(rows, infer_schema_length=None)
            frame.write_parquet(folder / f"naive-{written}.parquet", compression="zstd")
            written, rows = written + len(rows), []
    consumer.close()
    found = written / (clock() - began)
    say(f"kafka-python, fastavro, Polars: {found:,.0f} rewards/s")
    return found
