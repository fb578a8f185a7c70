"""Resident memory of every service while millions of joined events pass through a whole loop at full speed.

Decisions and interactions are written straight to their topics, never more than LEAD decisions ahead of what
the served policy has learnt. STREAMWHEEL_SOAK_EVENTS sets another number of events.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from shared.cli.addresses import Addresses
from shared.cli.benchmarks import records
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.topic_work import STALLED_S, Stalled, fill
from shared.cli.output import say
from shared.cli.plan import SERVICES
from shared.cli.running import running
from shared.cli.state import StateFolder

EVENTS = 3_000_000
EVENTS_VARIABLE = "STREAMWHEEL_SOAK_EVENTS"
CHUNK, LEAD = 10_000, 100_000
SAMPLE_S = 0.5
WAIT, HOLD = "3s", "3s"
"""Short, so that windows close and are forgotten all the time."""
COPIES_MS = 3_000
"""How long ids are remembered after that, for the same reason: a minute's worth would still be growing."""
TARGET = 0.05
SAY_EVERY = 300_000
REQUEST_S = 20.0
SEED = 5


class Sample(NamedTuple):
    """Resident bytes of each process when so many events were learnt."""

    learnt: int
    resident: Mapping[str, int]


def run() -> dict[str, Any]:
    """Measure. Raises LoopFailed, Stalled, httpx.HTTPError."""
    events = int(os.environ.get(EVENTS_VARIABLE, EVENTS))
    on = machine()
    with tempfile.TemporaryDirectory(prefix="streamwheel-soak-", ignore_cleanup_errors=True) as folder:
        state = Path(folder) / "state"
        applications = records.write_application(Path(folder) / "applications", wait=WAIT, hold=HOLD)
        say("starting Kafka and the services")
        with running(
            state, applications=applications, environment={"STREAMWHEEL_COPIES_MS": str(COPIES_MS)}
        ) as addresses:
            soak = _Soak(addresses, StateFolder(state), events)
            took = asyncio.run(soak.run())
    second, third = (_means(soak.samples, part, events) for part in (1, 2))
    growth = {name: third[name] / second[name] - 1 for name in second}
    services = [growth[name] for name in SERVICES]
    return {
        "benchmark": "soak",
        "figures": {
            "events": events,
            "events_per_s": round(events / took),
            **{f"{name}_second_third_mb": round(second[name] / 1e6, 1) for name in second},
            **{f"{name}_last_third_mb": round(third[name] / 1e6, 1) for name in third},
            "within_target": max(services) <= TARGET,
        },
        "peers": {},
        "ratios": {f"{name}_growth": round(value, 4) for name, value in growth.items()},
        "machine": on,
    }


class _Soak:
    """Writing, watching and waiting, for one loop."""

    def __init__(self, addresses: Addresses, folder: StateFolder, events: int) -> None:
        self.samples: list[Sample] = []
        self._settings, self._folder, self._events = addresses.broker_settings, folder, events
        self._policy = f"{addresses.url('decisions')}/v1/policies/{records.APPLICATION}"
        self._learnt = 0
        self._moved = asyncio.Condition()

    async def run(self) -> float:
        """Seconds until everything was learnt and served."""
        began = time.monotonic()
        writing = asyncio.create_task(self._write())
        try:
            async with httpx.AsyncClient(timeout=REQUEST_S) as client:
                await self._watch(client, writing)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return time.monotonic() - began

    async def _write(self) -> None:
        random = np.random.default_rng(SEED)
        for first in range(0, self._events, CHUNK):
            count = min(CHUNK, self._events - first)
            keys = records.ids(first, count)
            actions = random.integers(records.ACTIONS, size=count)
            contexts = random.standard_normal((count, records.FEATURES), np.float32)
            await fill(self._settings, "decisions", keys, records.decisions(keys, actions, contexts))
            await fill(self._settings, "interactions", keys, records.interactions(keys))
            async with self._moved:
                while first + count - self._learnt > LEAD:
                    await self._moved.wait()

    async def _watch(self, client: httpx.AsyncClient, writing: asyncio.Task[None]) -> None:
        changed, said = time.monotonic(), 0
        while self._learnt < self._events:
            if writing.done():
                writing.result()
            reply = (await client.get(self._policy)).raise_for_status().json()
            if reply["rewards_learnt"] > self._learnt:
                self._learnt, changed = reply["rewards_learnt"], time.monotonic()
                async with self._moved:
                    self._moved.notify_all()
            elif time.monotonic() - changed > STALLED_S:
                raise Stalled(f"the served policy has stopped at {self._learnt:,} of {self._events:,} events")
            self.samples.append(Sample(self._learnt, resident(self._folder)))
            if self._learnt >= said + SAY_EVERY:
                said = self._learnt
                say(f"{said:,} events; " + _shown(self.samples[-1].resident))
            await asyncio.sleep(SAMPLE_S)


def resident(folder: StateFolder) -> dict[str, int]:
    """Resident bytes of the loop's processes, by name."""
    found = {}
    for name, process in folder.recorded().items():
        try:
            found[name] = process.memory_info().rss
        except psutil.Error:  # it has just ended; the supervisor starts it again
            continue
    return found


def _means(samples: Sequence[Sample], part: int, events: int) -> dict[str, float]:
    """Mean resident bytes over third number `part` (0, 1, 2) of the events."""
    low, high = part * events / 3, (part + 1) * events / 3
    chosen = [each.resident for each in samples if low <= each.learnt < high]
    return {name: float(np.mean([each[name] for each in chosen if name in each])) for name in chosen[0]}


def _shown(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())
