"""Decisions over HTTP, each acknowledged by Kafka before its reply, beside FastAPI doing nothing.

Once more while half of the subjects get a trained canary, which has both arms' policies asked each time.

One process each, the same server and the same bodies, one after the other in turns; wrk is the client.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import FIRST, free_block
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from shared.cli.benchmarks import records
from shared.cli.benchmarks.candidate import KEY, roll_out
from shared.cli.benchmarks.load import Load, LoadFailed, check_wrk, load
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import measured, peer_command
from shared.cli.output import say

CONNECTIONS = 8
ROUNDS = 3
WARM_S, ROUND_S = 3, 8
BODIES = 500
BATCH, BATCHES = 100, 20
"""Decisions of a request to the batch endpoint, and different requests."""
SEED = 2


def run() -> dict[str, Any]:
    """Measure. Raises LoadFailed, BrokerError, ProcessFailed."""
    check_wrk()
    on = machine()
    with tempfile.TemporaryDirectory(prefix="streamwheel-decide-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        single, batches = _write_bodies(folder)
        with (
            EmbeddedBroker(folder / "kafka", free_block(HOST, 2)) as broker,
            _api(broker.settings, folder / "plain") as ours,
            _api(_apart(broker.settings), folder / "rollout", rollout=True) as halves,
            _bare(folder) as bare,
        ):
            for url in (ours, halves, bare):
                load(f"{url}/v1/decisions", single, connections=CONNECTIONS, seconds=WARM_S)
            _check_arms(halves, single)
            rounds = [tuple(_once(url, single) for url in (ours, halves, bare)) for _ in range(ROUNDS)]
            batched, batched_halves = (_once(url, batches, "/v1/decisions/batch") for url in (ours, halves))
    decided, rolled, did_nothing = ([each[place] for each in rounds] for place in range(3))
    return {
        "benchmark": "decide",
        "figures": {
            **_figures(decided),
            "batch_decisions_per_s": round(batched.per_s * BATCH),
            "batch_p99_ms": round(batched.p99_ms, 2),
            **{f"rollout_{name}": value for name, value in _figures(rolled).items()},
            "rollout_batch_decisions_per_s": round(batched_halves.per_s * BATCH),
            "connections": CONNECTIONS,
        },
        "peers": {f"fastapi_{name}": value for name, value in _figures(did_nothing).items()},
        "ratios": {
            "fastapi": round(statistics.median(a.per_s / b.per_s for a, _, b in rounds), 3),
            "rollout": round(statistics.median(b.per_s / a.per_s for a, b, _ in rounds), 3),
            "rollout_batch": round(batched_halves.per_s / batched.per_s, 3),
        },
        "machine": on,
    }


def _once(url: str, bodies: Path, path: str = "/v1/decisions") -> Load:
    found = load(f"{url}{path}", bodies, connections=CONNECTIONS, seconds=ROUND_S)
    say(f"{url}{path}: {found.per_s:,.0f} requests/s, p99 {found.p99_ms:.2f} ms")
    return found


def _figures(rounds: Sequence[Load]) -> dict[str, float]:
    """The middle of all rounds; for the tail also the worst."""
    return {
        "requests_per_s": round(statistics.median(each.per_s for each in rounds)),
        "p50_ms": round(statistics.median(each.p50_ms for each in rounds), 2),
        "p99_ms": round(statistics.median(each.p99_ms for each in rounds), 2),
        "p99_worst_ms": round(max(each.p99_ms for each in rounds), 2),
    }


def _write_bodies(folder: Path) -> tuple[Path, Path]:
    """A file of requests, and one of requests for many decisions; a line each."""
    random = np.random.default_rng(SEED)
    contexts = random.standard_normal((max(BODIES, BATCH * BATCHES), records.FEATURES)).round(4).tolist()
    asked = [
        {
            "application": records.APPLICATION,
            "subject_id": f"subject-{number}",
            "context": dict(zip(records.FEATURE_NAMES, context, strict=True)),
        }
        for number, context in enumerate(contexts)
    ]
    single, batches = folder / "single.json", folder / "batches.json"
    single.write_text("".join(json.dumps(each) + "\n" for each in asked[:BODIES]))
    groups = [asked[start : start + BATCH] for start in range(0, BATCH * BATCHES, BATCH)]
    batches.write_text("".join(json.dumps({"decisions": group}) + "\n" for group in groups))
    return single, batches


def _apart(settings: BrokerSettings) -> BrokerSettings:
    """The same cluster with other topics."""
    return settings.model_copy(update={"topic_prefix": "rollout-"})


def _check_arms(url: str, bodies: Path) -> None:
    """Raise LoadFailed unless decisions are those of a rollout."""
    first = bodies.read_bytes().splitlines()[0]
    if httpx.post(f"{url}/v1/decisions", content=first).json()["rollout"] is None:
        raise LoadFailed("no rollout is in force")


@contextmanager
def _api(settings: BrokerSettings, folder: Path, rollout: bool = False) -> Iterator[str]:
    ensure_topics(settings)
    folder.mkdir()
    if rollout:
        roll_out(settings, folder / "artefacts")
    port = free_block(HOST, 1, FIRST + 50 * rollout)
    environment = {
        "STREAMWHEEL_BROKER": settings.broker,
        "STREAMWHEEL_TOPIC_PREFIX": settings.topic_prefix,
        "STREAMWHEEL_ASSIGNMENT_KEY": KEY,
        "STREAMWHEEL_APPLICATIONS": str(records.write_application(folder / "applications")),
        "STREAMWHEEL_STATE": str(folder / "decisions"),
        "STREAMWHEEL_HOST": HOST,
        "STREAMWHEEL_PORT": str(port),
    }
    command = [sys.executable, "-m", "services.online_bandit.api"]
    with measured(command, folder / "decisions.log", environment) as process:
        url = f"http://{HOST}:{port}"
        process.await_ready(url)
        yield url


@contextmanager
def _bare(folder: Path) -> Iterator[str]:
    port = free_block(HOST, 1)
    command = peer_command("bare_fastapi", str(port), own_libraries=False)
    with measured(command, folder / "bare.log") as process:
        url = f"http://{HOST}:{port}"
        process.await_ready(url)
        yield url
