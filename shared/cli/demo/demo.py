"""`streamwheel demo`: start a loop, play data through it, wait until all is learnt, audit."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from statistics import fmean
from types import MappingProxyType
from typing import Any, Protocol

import httpx
import numpy as np
import uvloop
import yaml

from shared.applications.contract import Application
from shared.applications.simulation import Simulator, uniform
from shared.broker.settings import BrokerSettings
from shared.cli.addresses import Addresses
from shared.cli.audit.audit import Audit, audit
from shared.cli.audit.journal import Journal
from shared.cli.demo.client import client
from shared.cli.demo.display import display
from shared.cli.demo.examples import Example
from shared.cli.demo.following import Freshness, Rewards
from shared.cli.demo.playing import Judge, Player, right
from shared.cli.demo.products import Product
from shared.cli.demo.summary import Baselines, Summary, percentile_ms, summarise
from shared.cli.demo.training import train
from shared.cli.demo.visiting import Visits
from shared.cli.output import say
from shared.cli.running import running

SEED = 3
RATE = 130.0
"""Decisions a second: slow enough for a policy to learn from one decision before many others."""
TRAINING_LIMIT = "5m"
"""For the trainer: a candidate that takes longer is not worth waiting for in a demo."""
REST_S = 60.0
"""How long after the last decision everything must be joined and learnt."""
LOOK_S = 0.25
SHOW_S = 1.0
RECENT = 500
"""Rewards behind the live figures."""


class NotAtRest(RuntimeError):
    """Rewards were missing, or not learnt, long after the last decision."""


def demo(
    application: Application,
    load: Callable[[Random], list[Example]],
    most: int | None = None,
    state: Path | None = None,
) -> Summary:
    """Play the application's examples, `most` of them or all; data and logs stay if there is a `state`.

    Raises LoopFailed, NotAtRest, OSError, httpx.HTTPError, KafkaError.
    """
    began = time.monotonic()
    examples = load(Random(SEED))[:most]  # noqa: S311  a shuffle
    with loop(state) as (addresses, settings):
        run = Run(application, addresses, settings)
        uvloop.run(run.play(examples))
        found = _audited(application, settings, run)
    return _summary(application, Baselines(1 / len(application.actions)), run, began, found, None)


def demo_product(
    application: Application,
    simulator: Simulator,
    product: Product,
    most: int | None = None,
    state: Path | None = None,
    model: Path | None = None,
) -> Summary:
    """Play a simulator's subjects, audit, and have the trainer make a candidate of what was learnt.

    It trains the language model in a folder, if one is given and the application trains one.
    Raises ValueError for a model that nothing is trained of, LoopFailed, NotAtRest, ArtefactError, OSError,
    httpx.HTTPError, KafkaError.
    """
    began, wanted = time.monotonic(), product.wanted(model)
    with loop(state) as (addresses, settings):
        run = Run(application, addresses, settings)
        uvloop.run(run.visit(simulator, most or product.decisions))
        found = _audited(application, settings, run)
        say(f"asking the trainer for a candidate: {wanted.algorithm}")
        candidate = train(settings, application.name, wanted)
    baselines = Baselines(simulator.mean_reward(uniform(simulator)), simulator.optimal_mean_reward())
    return _summary(application, baselines, run, began, found, candidate)


@contextmanager
def loop(
    state: Path | None,
    application: Mapping[str, Any] | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[Addresses, BrokerSettings]]:
    """A loop of its own, with one application more if its settings are given, and `more` in its environment.

    Raises LoopFailed, OSError.
    """
    with _folder(state) as folder:
        own = None
        if application is not None:
            own = folder / "applications"
            own.mkdir(parents=True)
            (own / f"{application['application']}.yaml").write_text(yaml.safe_dump(dict(application)))
        # On a cluster that others use too, the demo's topics have names of their own.
        prefix = f"demo-{secrets.token_hex(4)}-" if os.environ.get("STREAMWHEEL_BROKER") else ""
        environment = {"STREAMWHEEL_TOPIC_PREFIX": prefix, "STREAMWHEEL_TIME_LIMIT": TRAINING_LIMIT, **more}
        say("starting Kafka and the services")
        with running(folder, applications=own, environment=environment) as addresses:
            yield addresses, addresses.broker_settings.model_copy(update={"topic_prefix": prefix})


def _audited(application: Application, settings: BrokerSettings, run: Run) -> Audit:
    say("reading all topics again")
    return audit(settings, {application.name: application}, run.journal)


def _summary(
    application: Application,
    baselines: Baselines,
    run: Run,
    began: float,
    found: Audit,
    candidate: Mapping[str, Any] | None,
) -> Summary:
    return summarise(
        application.name,
        baselines,
        run.rewards.table,
        run.freshness.seconds,
        run.playing_s,
        time.monotonic() - began,
        found,
        candidate,
    )


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="streamwheel-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class Playing(Protocol):
    """Who plays."""

    journal: Journal
    decided: int
    """Decisions so far."""
    told: int
    """Interactions so far."""


class Run:
    """One pass over data against a running loop, `rate` decisions a second."""

    def __init__(
        self, application: Application, addresses: Addresses, settings: BrokerSettings, rate: float = RATE
    ) -> None:
        self.rewards = Rewards(settings)
        self.freshness = Freshness(self.rewards, time.monotonic)
        self.journal = Journal()
        self.playing_s = 0.0
        self._name, self._addresses, self._rate = application.name, addresses, rate

    async def play(self, examples: Iterable[Example]) -> None:
        """Play, show, and return once everything is joined and learnt."""
        async with client() as http:
            player = self.player(http)
            await self.follow(http, player, player.play(examples, self._rate), 0)

    async def visit(self, simulator: Simulator, decisions: int) -> None:
        """The same with a simulator's subjects, each of whose interactions must have counted."""
        async with client() as http:
            random = np.random.default_rng(SEED)
            visits = Visits(simulator, http, *self._urls, random, self._acknowledged)
            await self.follow(http, visits, visits.play(decisions, self._rate), 1)

    def _acknowledged(self, decision_id: str) -> None:
        self.freshness.acknowledged[decision_id] = time.monotonic()

    @property
    def _urls(self) -> tuple[str, str]:
        return self._addresses.url("decisions"), self._addresses.url("collector")

    def player(self, http: httpx.AsyncClient, judge: Judge = right) -> Player:
        """Who plays examples against this loop."""
        random = Random(SEED + 1)  # noqa: S311  delays
        return Player(self._name, http, *self._urls, random, self._acknowledged, judge)

    async def follow(
        self, http: httpx.AsyncClient, player: Playing, playing: Coroutine[Any, Any, None], counted: float
    ) -> None:
        """Run `playing`, and wait for its rewards; the share `counted` of what was told must be in them."""
        self.journal = player.journal
        policies = f"{self._addresses.url('decisions')}/v1/policies/{self._name}"
        tasks = [
            asyncio.create_task(self._rest(player, playing, counted)),
            asyncio.create_task(self.rewards.follow()),
            asyncio.create_task(self.freshness.follow(http, policies)),
            asyncio.create_task(self._show(player)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _rest(self, player: Playing, playing: Coroutine[Any, Any, None], counted: float) -> None:
        began = time.monotonic()
        await playing
        self.playing_s = time.monotonic() - began
        deadline = time.monotonic() + REST_S
        while not self._at_rest(player, counted):
            if time.monotonic() > deadline:
                ends = [end for _, end in sorted(self.rewards.next_offsets.items())]
                raise NotAtRest(
                    f"{REST_S:.0f} s after the last decision {len(self.rewards.table):,} of "
                    f"{player.decided:,} decisions have a reward, and of the rewards up to offsets {ends} "
                    f"the served policy has learnt those up to {self.freshness.offsets}. "
                    "With --state DIR the logs of all processes are kept"
                )
            await asyncio.sleep(LOOK_S)

    def _at_rest(self, player: Playing, counted: float) -> bool:
        joined = sum(rewarded.interactions for rewarded in self.rewards.table.values())
        complete = len(self.rewards.table) >= player.decided and joined >= counted * player.told
        return complete and self.freshness.caught_up()

    async def _show(self, player: Playing) -> None:
        decided = joined = 0
        with display() as show:
            while True:
                show(
                    {
                        "decisions": f"{player.decided:,}",
                        "decisions/s": f"{(player.decided - decided) / SHOW_S:.0f}",
                        "joined/s": f"{(self.rewards.records - joined) / SHOW_S:.0f}",
                        "mean reward": f"{self._recent_mean():.3f}",
                        "freshness": f"{percentile_ms(self.freshness.seconds[-RECENT:], 50):.0f} ms",
                    }
                )
                decided, joined = player.decided, self.rewards.records
                await asyncio.sleep(SHOW_S)

    def _recent_mean(self) -> float:
        """Mean reward of the decisions rewarded last."""
        newest = list(islice(reversed(self.rewards.table.values()), RECENT))
        return fmean(rewarded.reward for rewarded in newest) if newest else 0.0
