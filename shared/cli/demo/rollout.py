"""A candidate's way through a running loop: trained, judged, given to ever more subjects, broken, taken back.

Real data (handwritten digits) and an application of YAML alone. Its online policy tries every digit alike, so
what is learnt offline is far better, and gets to half of the subjects by itself. There the product breaks for
whoever gets it: each of its decisions is complained about. The guards have to notice, and to end it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import uvloop

from shared.applications.contract import Application
from shared.applications.generic.application import GenericApplication
from shared.applications.settings import ApplicationSettings
from shared.broker.settings import BrokerSettings
from shared.cli.addresses import Addresses
from shared.cli.audit.audit import audit
from shared.cli.audit.rollouts import check_rollouts
from shared.cli.demo.client import client
from shared.cli.demo.demo import SEED, Run, loop
from shared.cli.demo.examples import Example, optdigits
from shared.cli.demo.products import Wanted
from shared.cli.demo.summary import Baselines, Summary, summarise
from shared.cli.demo.training import train
from shared.cli.output import say
from shared.cli.plan import ASSIGNMENT_KEY
from shared.cli.topic_log import open_log
from shared.wire.rollouts import DeploymentEvent, Evaluation, read_evaluation, read_event
from shared.wire.training import Span

T = TypeVar("T")

NAME = "digits"
BROKEN_AT = "50 %"
SETTINGS: Mapping[str, Any] = {
    "application": NAME,
    "features": [{"name": f"pixel_{n:02}", "type": "numeric"} for n in range(64)],
    "actions": [str(digit) for digit in range(10)],
    "reward": {"default": 0, "wait": "2s", "early_grace": "1s", "hold": "1s", "emission": "on_close"},
    "policy": {"kind": "epsilon_greedy", "epsilon": 1.0},
    "rollout": {
        "stages": [
            {"name": "shadow", "share": 0, "bake": "2s", "samples": 0},
            {"name": "10 %", "share": 0.1, "bake": "5s", "samples": 60},
            {"name": BROKEN_AT, "share": 0.5, "bake": "30s", "samples": 500},
            {"name": "100 %", "share": 1, "bake": "30s", "samples": 0},
        ]
    },
}
LOGGED = 4_000
"""Decisions of the online policy: half of them train the candidate, the others judge it."""
LEAST_SAMPLE = 20
"""Of the check that training makes on a fifth of its half; the evaluator has the other half."""
RATE = 130.0
COMPLAINT = -1.0
CALM_S = 3.0
"""How long nobody must have got the canary for the end to be believed."""
LONGEST_S = 180.0
"""For each step of the way."""
LOOK_S = 0.1


class Stuck(RuntimeError):
    """A step of the way was not taken in time."""


@dataclass
class Product:
    """Judges decisions, and remembers who got the canary, and until when."""

    broken: bool = False
    canaries: int = 0
    last_canary_ms: int = 0

    def judge(self, reply: Mapping[str, Any], example: Example) -> float | None:
        """The value of what is told of a decision, None for nothing."""
        if reply["rollout"] and reply["rollout"]["arm"] == "canary":
            self.canaries += 1
            self.last_canary_ms = time.time_ns() // 1_000_000
            if self.broken:
                return COMPLAINT
        return 1.0 if reply["action"] == example.right else None


class Watch:
    """What the topics tell of the candidate, as it is written."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.evaluations: list[Evaluation] = []
        self.events: list[DeploymentEvent] = []
        self.settings, self._stopped = settings, False

    def run(self) -> None:
        """Read until `stop`. Raises KafkaError, WireError."""
        ends = dict.fromkeys(("evaluations", "deployment-events"), 0)
        with open_log(self.settings) as log:
            while not self._stopped:
                for topic, start in ends.items():
                    ends[topic] = log.end(topic, 0)
                    for records in log.read(topic, 0, start, ends[topic]):
                        for value in records.values:
                            self._take(topic, value)
                time.sleep(LOOK_S)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped = True

    async def until(self, what: str, found: Callable[[], T | None]) -> T:
        """What `found` returns once that is something. Raises Stuck."""
        deadline = time.monotonic() + LONGEST_S
        while not (value := found()):
            if time.monotonic() > deadline:
                told = [f"{each.what} ({each.cause})" for each in self.events]
                said = [f"{each.kind} {each.verdict}" for each in self.evaluations]
                raise Stuck(f"{what}: not within {LONGEST_S:.0f} s. Evaluations: {said}; events: {told}")
            await asyncio.sleep(LOOK_S)
        return value

    def event(self, what: str, stage: str = "") -> DeploymentEvent | None:
        """The first event of that kind, at that stage if one is named."""
        return next((e for e in self.events if e.what == what and stage in ("", e.stage)), None)

    def judged(self) -> Evaluation | None:
        """The evaluation on the log, if it is there."""
        return next((each for each in self.evaluations if each.kind == "log"), None)

    def _take(self, topic: str, value: bytes | None) -> None:
        if topic == "evaluations":
            evaluation = read_evaluation(value)
            self.evaluations.append(evaluation)
            why = "; ".join(reason.detail for reason in evaluation.reasons)
            say(f"evaluation   {evaluation.kind:<12} {evaluation.verdict:<12} {why}")
            return
        event = read_event(value)
        self.events.append(event)
        share = f"{event.share:.0%} to canary"
        say(
            f"audit {event.sequence:>3}    {event.what:<12} {event.policy[:12]:<12} {share:<15} {event.cause}"
        )


def demo_rollout(logged: int | None = None, state: Path | None = None) -> Summary:
    """Play it; data and logs stay if there is a `state`.

    Raises Stuck, LoopFailed, NotAtRest, ArtefactError, OSError, httpx.HTTPError, KafkaError.
    """
    began = time.monotonic()
    examples = optdigits(Random(SEED))  # noqa: S311  a shuffle
    application: Application = GenericApplication(ApplicationSettings.model_validate(SETTINGS))
    key = os.environ.get(ASSIGNMENT_KEY) or secrets.token_hex()
    with loop(state, SETTINGS, {ASSIGNMENT_KEY: key}) as (addresses, settings):
        run, watch = Run(application, addresses, settings), Watch(settings)
        way = uvloop.run(_way(run, watch, addresses, examples, logged or LOGGED))
        say("reading all topics again")
        found = audit(settings, {NAME: application}, run.journal, key=key.encode())
        rollouts = check_rollouts(settings, NAME, [each["share"] for each in SETTINGS["rollout"]["stages"]])
    found = replace(found, verdicts={**found.verdicts, **rollouts})
    summary = summarise(
        NAME,
        Baselines(1 / len(application.actions)),
        run.rewards.table,
        run.freshness.seconds,
        run.playing_s,
        time.monotonic() - began,
        found,
        way.pop("candidate"),
    )
    return replace(summary, rollout=way)


async def _way(
    run: Run, watch: Watch, addresses: Addresses, examples: Sequence[Example], logged: int
) -> dict[str, Any]:
    """Play the whole way; what came of it."""
    product = Product()
    told: dict[str, Any] = {}
    async with client() as http:
        player = run.player(http, product.judge)
        watching = asyncio.create_task(asyncio.to_thread(watch.run))

        async def playing() -> None:
            say(f"the online policy tries every digit alike: {logged:,} decisions")
            await player.play(_some(examples, logged), RATE)
            await watch.until("rewards", lambda: len(run.rewards.table) >= player.decided)
            say("training on one half of the log")
            halves = tuple(
                Span(partition, 0, end // 2)
                for partition, end in sorted(run.rewards.next_offsets.items())
                if end > 1
            )
            wanted = Wanted("linear", {"min_effective_sample": LEAST_SAMPLE})
            told["candidate"] = await asyncio.to_thread(train, watch.settings, NAME, wanted, halves)
            if told["candidate"]["status"] != "trained":
                raise Stuck(f"no candidate: {told['candidate']['reason']}")
            traffic = asyncio.create_task(player.play(cycle(examples), RATE))
            try:
                told.update(await _rolled_out(watch, product))
            finally:
                player.stop()
                await traffic

        try:
            await run.follow(http, player, playing(), 0)
        finally:
            watch.stop()
            await watching
    return told


async def _rolled_out(watch: Watch, product: Product) -> dict[str, Any]:
    """From a candidate that was trained to nobody getting it any more."""
    judged = await watch.until("an evaluation", watch.judged)
    reward = judged.metrics[0] if judged.metrics else None
    await watch.until(f"the stage {BROKEN_AT}", lambda: watch.event("advanced", BROKEN_AT))
    say("breaking the product for whoever gets the canary")
    product.broken = True
    broken_ms = time.time_ns() // 1_000_000
    ended = await watch.until("a rollback", lambda: watch.event("rolled-back"))
    await watch.until("an end of canary decisions", lambda: _quiet_s(product, ended) > CALM_S or None)
    return {
        "verdict": judged.verdict,
        "predicted": None if reward is None else [reward.value, reward.low, reward.high],
        "baseline": None if reward is None else reward.baseline,
        "canary_decisions": product.canaries,
        "breach_noticed_s": round((ended.at - broken_ms) / 1000, 3),
        "last_canary_after_s": round(max(0, product.last_canary_ms - ended.at) / 1000, 3),
        "blacklisted": watch.event("blacklisted") is not None,
        "audit_trail": [f"{each.what} {each.share:g}: {each.cause}" for each in watch.events],
    }


def _quiet_s(product: Product, ended: DeploymentEvent) -> float:
    return (time.time_ns() // 1_000_000 - max(product.last_canary_ms, ended.at)) / 1000


def _some(examples: Sequence[Example], most: int) -> Iterator[Example]:
    return (example for example, _ in zip(cycle(examples), range(most), strict=False))
