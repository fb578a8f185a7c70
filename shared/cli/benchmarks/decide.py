"""Decisions over HTTP, each acknowledged by Kafka before its reply, beside FastAPI doing nothing.

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

import numpy as np

from shared.broker.embedded import EmbeddedBroker
from shared.broker.node_files import HOST
from shared.broker.ports import free_block
from shared.broker.settings import BrokerSettings
from shared.broker.topics import ensure_topics
from shared.cli.benchmarks import records
from shared.cli.benchmarks.load import Load, check_wrk, load
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
            _api(broker.settings, folder) as ours,
            _bare(folder) as bare,
        ):
            for url in (ours, bare):
                load(f"{url}/v1/decisions", single, connections=CONNECTIONS, seconds=WARM_S)
            rounds = [(_once(ours, single), _once(bare, single)) for _ in range(ROUNDS)]
            batched = _once(ours, batches, "/v1/decisions/batch")
    decided, did_nothing = ([pair[place] for pair in rounds] for place in (0, 1))
    return {
        "benchmark": "decide",
        "figures": {
            **_figures(decided),
            "batch_decisions_per_s": round(batched.per_s * BATCH),
            "batch_p99_ms": round(batched.p99_ms, 2),
            "connections": CONNECTIONS,
        },
        "peers": {f"fastapi_{name}": value for name, value in _figures(did_nothing).items()},
        "ratios": {
            "fastapi": round(statistics.median(a.per_s / b.per_s for a, b in rounds), 3),
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


@contextmanager
def _api(settings: BrokerSettings, folder: Path) -> Iterator[str]:
    ensure_topics(settings)
    port = free_block(HOST, 1)
    environment = {
        "STREAMWHEEL_BROKER": settings.broker,
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
