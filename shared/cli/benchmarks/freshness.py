"""From an acknowledged interaction to a served policy that has learnt it, in a whole loop under steady load.

A rewards record tells where a decision's reward stands in the log, and GET /v1/policies/{application} up to
where the served policy has learnt it; both are followed from outside, so what is measured includes asking.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np

from shared.cli.addresses import Addresses
from shared.cli.benchmarks import records
from shared.cli.benchmarks.machine import machine
from shared.cli.demo.examples import optdigits
from shared.cli.demo.following import Freshness, Rewards
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

Acknowledged = Callable[[str], None]
Play = Callable[[httpx.AsyncClient, float, Acknowledged], Coroutine[Any, Any, int]]
"""(client, seconds, told of each acknowledged interaction) to how many decisions were made."""


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
    rewards = Rewards(addresses.broker_settings)
    freshness = Freshness(rewards, time.monotonic)

    def acknowledged(decision_id: str) -> None:
        freshness.acknowledged[decision_id] = time.monotonic()

    async with httpx.AsyncClient(timeout=REQUEST_S) as client, httpx.AsyncClient() as asking:
        url = f"{addresses.url('decisions')}/v1/policies/{application}"
        followers = [
            asyncio.create_task(rewards.follow()),
            asyncio.create_task(freshness.follow(asking, url)),
        ]
        try:
            began = time.monotonic()
            playing = asyncio.create_task(play(client, WARM_S + MEASURED_S, acknowledged))
            await asyncio.wait([playing, *followers], timeout=WARM_S, return_when=asyncio.FIRST_COMPLETED)
            warm = len(freshness.seconds)
            decided = await playing
            took = time.monotonic() - began
            await _learnt(freshness, followers)
        finally:
            for task in followers:
                task.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
    measured = freshness.seconds[warm:]
    return {
        "p50_ms": percentile_ms(measured, 50),
        "p95_ms": percentile_ms(measured, 95),
        "max_ms": round(max(measured) * 1000, 1),
        "mean_ms": round(statistics.fmean(measured) * 1000, 1),
        "interactions": len(measured),
        "decisions_per_s": round(decided / took, 1),
    }


async def _learnt(freshness: Freshness, followers: list[asyncio.Task[None]]) -> None:
    """Return when everything acknowledged is learnt and served."""
    deadline = time.monotonic() + REST_S
    while freshness.acknowledged:
        for task in followers:
            if task.done():
                task.result()
        if time.monotonic() > deadline:
            raise NeverLearnt(f"{len(freshness.acknowledged)} interactions were not learnt in {REST_S:.0f} s")
        await asyncio.sleep(LOOK_S)


def _play_optdigits(addresses: Addresses) -> Play:
    """The demo's player: an interaction for a right answer only, after a random delay."""
    random = Random(SEED)  # noqa: S311  order and delays
    examples = optdigits(random)

    async def play(client: httpx.AsyncClient, seconds: float, acknowledged: Acknowledged) -> int:
        player = Player(
            "optdigits",
            client,
            addresses.url("decisions"),
            addresses.url("collector"),
            random,
            acknowledged,
        )
        await player.play(examples[: round(seconds * OPTDIGITS_RATE)], OPTDIGITS_RATE)
        return player.decided

    return play


def _play_linear(addresses: Addresses) -> Play:
    """Batches of decisions at a steady pace, each followed at once by an interaction for every decision."""
    random = np.random.default_rng(SEED)

    async def one(client: httpx.AsyncClient, acknowledged: Acknowledged) -> None:
        contexts = random.standard_normal((BATCH, records.FEATURES)).round(4).tolist()
        asked = [
            {
                "application": records.APPLICATION,
                "subject_id": "subject",
                "context": dict(zip(records.FEATURE_NAMES, context, strict=True)),
            }
            for context in contexts
        ]
        url = f"{addresses.url('decisions')}/v1/decisions/batch"
        reply = await client.post(url, json={"decisions": asked})
        decided = reply.raise_for_status().json()["decisions"]
        pairs = zip(decided, contexts, strict=True)
        told = [_interaction(each["decision_id"], context[0]) for each, context in pairs]
        url = f"{addresses.url('collector')}/v1/interactions"
        (await client.post(url, json={"interactions": told})).raise_for_status()
        for each in decided:
            acknowledged(each["decision_id"])

    async def play(client: httpx.AsyncClient, seconds: float, acknowledged: Acknowledged) -> int:
        batches = round(seconds * LINEAR_RATE / BATCH)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(batches):
                await asyncio.sleep(began + number * BATCH / LINEAR_RATE - loop.time())
                tasks.create_task(one(client, acknowledged))
        return batches * BATCH

    return play


def _interaction(decision_id: str, value: float) -> dict[str, object]:
    return {
        "decision_id": decision_id,
        "application": records.APPLICATION,
        "type": "click",
        "value": value,
    }
