"""From an acknowledged interaction to a served policy that has learnt it, in a whole loop under steady load.

A rewards record tells where a decision's reward stands in the log, and GET /v1/policies/{application} up to
where the served policy has learnt it; both are followed from outside, so what is measured includes asking.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Set
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from shared.cli.addresses import Addresses
from shared.cli.benchmarks import records
from shared.cli.benchmarks.machine import machine
from shared.cli.demo.examples import optdigits
from shared.cli.demo.following import POLL_S, Rewards
from shared.cli.demo.playing import Player
from shared.cli.demo.summary import percentile_ms
from shared.cli.output import say
from shared.cli.running import running

LINEAR_RATE, OPTDIGITS_RATE = 1_000, 150
"""Decisions per second."""
BATCH = 50
"""Decisions of a request to the batch endpoint, and interactions of the one that follows it."""
WARM_S, MEASURED_S = 20.0, 25.0
REST_S = 30.0
"""How long after the last interaction it must be learnt."""
LOOK_S = 0.1
REQUEST_S = 20.0
SEED = 4
JSON = {"Content-Type": "application/json"}

Acknowledged = Callable[[str], None]
Play = Callable[[httpx.AsyncClient, Acknowledged], Coroutine[Any, Any, int]]
"""(client, told of each acknowledged interaction) to how many decisions were made."""


class NeverLearnt(RuntimeError):
    """Interactions were not learnt long after they were acknowledged."""


def run() -> dict[str, Any]:
    """Measure. Raises LoopFailed, httpx.HTTPError, NeverLearnt."""
    on = machine()
    linear = _in_a_loop(records.APPLICATION, _play_linear)
    digits = _in_a_loop("optdigits", _play_optdigits)
    return {
        "benchmark": "freshness",
        "figures": {**_named("linear", linear), **_named("optdigits", digits)},
        "peers": {},
        "ratios": {},
        "machine": on,
    }


def _named(name: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{key}": value for key, value in figures.items()}


def _in_a_loop(application: str, play: Callable[[Addresses], Play]) -> dict[str, float]:
    say(f"{application}: starting Kafka and the services")
    with tempfile.TemporaryDirectory(prefix="streamwheel-freshness-", ignore_cleanup_errors=True) as folder:
        applications = records.write_application(Path(folder) / "applications")
        with running(Path(folder) / "state", applications=applications) as addresses:
            figures = asyncio.run(_measure(application, addresses, play(addresses)))
    say(f"{application}: {figures}")
    return figures


async def _measure(application: str, addresses: Addresses, play: Play) -> dict[str, float]:
    acknowledged: dict[str, float] = {}
    served = Served()

    def note(decision_id: str) -> None:
        acknowledged[decision_id] = time.monotonic()

    async with httpx.AsyncClient(timeout=REQUEST_S) as client, httpx.AsyncClient() as asking:
        asked = asyncio.create_task(
            served.follow(asking, f"{addresses.url('decisions')}/v1/policies/{application}")
        )
        try:
            began = time.monotonic()
            decided = await play(client, note)
            took = time.monotonic() - began
            partitions, offsets = await _rewarded(addresses, acknowledged.keys())
            learnt = await _learnt(served, partitions, offsets, asked)
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
    times = np.fromiter(acknowledged.values(), float)
    measured = (learnt - times)[times >= began + WARM_S].tolist()
    return {
        "p50_ms": percentile_ms(measured, 50),
        "p95_ms": percentile_ms(measured, 95),
        "max_ms": round(max(measured) * 1000, 1),
        "mean_ms": round(statistics.fmean(measured) * 1000, 1),
        "interactions": len(measured),
        "decisions_per_s": round(decided / took, 1),
    }


class Served:
    """Up to where the served policy had learnt each partition of the rewards, whenever it was asked."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._offsets: list[list[int]] = []

    async def follow(self, client: httpx.AsyncClient, url: str) -> None:
        """Ask again and again until cancelled. Raises httpx.HTTPError."""
        while True:
            reply = (await client.get(url)).raise_for_status()
            self._times.append(time.monotonic())
            self._offsets.append(orjson.loads(reply.content)["offsets"])
            await asyncio.sleep(POLL_S)

    def since(self, partitions: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """When each of n records was first seen to be learnt (monotonic clock), infinity for not yet."""
        times = np.array([*self._times, np.inf])
        found = np.empty(len(offsets))
        for partition in np.unique(partitions):
            ends = [seen[partition] if partition < len(seen) else 0 for seen in self._offsets]
            own = partitions == partition
            found[own] = times[np.searchsorted(np.maximum.accumulate(ends), offsets[own], side="right")]
        return found


async def _rewarded(
    addresses: Addresses, decision_ids: Set[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Partition and offset of the reward of each decision; read after the load, to be no load itself."""
    rewards = Rewards(addresses.broker_settings)
    following = asyncio.create_task(rewards.follow())
    try:
        async with asyncio.timeout(REST_S):
            while not (decision_ids <= rewards.table.keys()):
                if following.done():
                    following.result()
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        missing = len(decision_ids - rewards.table.keys())
        raise NeverLearnt(f"{missing} interactions had no reward in {REST_S:.0f} s") from None
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    found = [rewards.table[decision_id] for decision_id in decision_ids]
    return np.array([each.partition for each in found]), np.array([each.offset for each in found])


async def _learnt(
    served: Served, partitions: NDArray[np.int64], offsets: NDArray[np.int64], asked: asyncio.Task[None]
) -> NDArray[np.float64]:
    """When each reward was learnt and served, once all are."""
    deadline = time.monotonic() + REST_S
    while not np.isfinite(found := served.since(partitions, offsets)).all():
        if asked.done():
            asked.result()
        if time.monotonic() > deadline:
            raise NeverLearnt(f"{np.isinf(found).sum()} interactions were not learnt in {REST_S:.0f} s")
        await asyncio.sleep(LOOK_S)
    return found


def _play_optdigits(addresses: Addresses) -> Play:
    """The demo's player: an interaction for a right answer only, after a random delay."""
    random = Random(SEED)  # noqa: S311  order and delays
    examples = optdigits(random)

    async def play(client: httpx.AsyncClient, acknowledged: Acknowledged) -> int:
        player = Player(
            "optdigits",
            client,
            addresses.url("decisions"),
            addresses.url("collector"),
            random,
            acknowledged,
        )
        await player.play(examples[: round((WARM_S + MEASURED_S) * OPTDIGITS_RATE)], OPTDIGITS_RATE)
        return player.decided

    return play


def _play_linear(addresses: Addresses) -> Play:
    """Batches of decisions at a steady pace, each followed at once by an interaction for every decision."""
    decide = f"{addresses.url('decisions')}/v1/decisions/batch"
    interact = f"{addresses.url('collector')}/v1/interactions"
    bodies = _bodies(round((WARM_S + MEASURED_S) * LINEAR_RATE / BATCH))

    async def one(client: httpx.AsyncClient, asked: bytes, values: list[float], note: Acknowledged) -> None:
        reply = (await client.post(decide, content=asked, headers=JSON)).raise_for_status()
        ids = [each["decision_id"] for each in orjson.loads(reply.content)["decisions"]]
        told = [_interaction(*pair) for pair in zip(ids, values, strict=True)]
        body = orjson.dumps({"interactions": told})
        (await client.post(interact, content=body, headers=JSON)).raise_for_status()
        for decision_id in ids:
            note(decision_id)

    async def play(client: httpx.AsyncClient, note: Acknowledged) -> int:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number, (asked, values) in enumerate(bodies):
                await asyncio.sleep(began + number * BATCH / LINEAR_RATE - loop.time())
                tasks.create_task(one(client, asked, values, note))
        return len(bodies) * BATCH

    return play


def _bodies(batches: int) -> list[tuple[bytes, list[float]]]:
    """Requests for decisions, made before the load begins, and a number for the interaction of each."""
    random = np.random.default_rng(SEED)
    bodies = []
    for _ in range(batches):
        contexts = random.standard_normal((BATCH, records.FEATURES)).round(4).tolist()
        asked = [
            {
                "application": records.APPLICATION,
                "subject_id": "subject",
                "context": dict(zip(records.FEATURE_NAMES, context, strict=True)),
            }
            for context in contexts
        ]
        bodies.append((orjson.dumps({"decisions": asked}), [context[0] for context in contexts]))
    return bodies


def _interaction(decision_id: str, value: float) -> dict[str, object]:
    return {
        "decision_id": decision_id,
        "application": records.APPLICATION,
        "type": "click",
        "value": value,
    }
