"""`streamwheel demo`: start a loop, play data through it, wait until all is learnt, audit."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from statistics import fmean

import httpx

from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.cli.addresses import Addresses
from shared.cli.audit.audit import audit
from shared.cli.audit.journal import Journal
from shared.cli.demo.display import display
from shared.cli.demo.examples import Example
from shared.cli.demo.following import Freshness, Rewards
from shared.cli.demo.playing import Player
from shared.cli.demo.summary import Summary, percentile_ms, summarise
from shared.cli.output import say
from shared.cli.running import running

SEED = 3
RATE = 130.0
"""Decisions a second: slow enough for a policy to learn from one decision before many others."""
REST_S = 60.0
"""How long after the last decision everything must be joined and learnt."""
LOOK_S = 0.25
SHOW_S = 1.0
RECENT = 500
"""Rewards behind the live figures."""
REQUEST_S = 20.0


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
    with _folder(state) as folder:
        # On a cluster that others use too, the demo's topics have names of their own.
        prefix = f"demo-{secrets.token_hex(4)}-" if os.environ.get("STREAMWHEEL_BROKER") else ""
        say("starting Kafka and the services")
        with running(folder, environment={"STREAMWHEEL_TOPIC_PREFIX": prefix}) as addresses:
            settings = addresses.broker_settings.model_copy(update={"topic_prefix": prefix})
            run = Run(application, addresses, settings)
            asyncio.run(run.play(examples))
            say("reading all topics again")
            found = audit(settings, {application.name: application}, run.journal)
    return summarise(
        application.name,
        len(application.actions),
        run.rewards.table,
        run.freshness.seconds,
        run.playing_s,
        time.monotonic() - began,
        found,
    )


@contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="streamwheel-demo-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class Run:
    """One pass over examples against a running loop, `rate` of them a second."""

    def __init__(
        self, application: Application, addresses: Addresses, settings: BrokerSettings, rate: float = RATE
    ) -> None:
        self.rewards = Rewards(settings)
        self.freshness = Freshness(self.rewards, time.monotonic)
        self.journal = Journal()
        self.playing_s = 0.0
        self._application, self._addresses, self._rate = application, addresses, rate

    async def play(self, examples: Iterable[Example]) -> None:
        """Play, show, and return once everything is joined and learnt."""
        name = self._application.name
        async with httpx.AsyncClient(timeout=REQUEST_S) as client:
            player = Player(
                name,
                client,
                self._addresses.url("decisions"),
                self._addresses.url("collector"),
                Random(SEED + 1),  # noqa: S311  delays
                lambda decision_id: self.freshness.acknowledged.update({decision_id: time.monotonic()}),
            )
            self.journal = player.journal
            policies = f"{self._addresses.url('decisions')}/v1/policies/{name}"
            followers = [
                asyncio.create_task(self.rewards.follow()),
                asyncio.create_task(self.freshness.follow(client, policies)),
                asyncio.create_task(self._show(player)),
            ]
            playing = asyncio.create_task(self._play(player, examples))
            try:
                await asyncio.wait([playing, *followers], return_when=asyncio.FIRST_COMPLETED)
                for task in (playing, *followers):
                    if task.done():
                        task.result()
            finally:
                for task in (playing, *followers):
                    task.cancel()
                await asyncio.gather(playing, *followers, return_exceptions=True)

    async def _play(self, player: Player, examples: Iterable[Example]) -> None:
        began = time.monotonic()
        await player.play(examples, self._rate)
        self.playing_s = time.monotonic() - began
        deadline = time.monotonic() + REST_S
        while len(self.rewards.table) < player.decided or not self.freshness.caught_up():
            if time.monotonic() > deadline:
                ends = [end for _, end in sorted(self.rewards.next_offsets.items())]
                raise NotAtRest(
                    f"{REST_S:.0f} s after the last decision {len(self.rewards.table):,} of "
                    f"{player.decided:,} decisions have a reward, and of the rewards up to offsets {ends} "
                    f"the served policy has learnt those up to {self.freshness.offsets}. "
                    "With --state DIR the logs of all processes are kept"
                )
            await asyncio.sleep(LOOK_S)

    async def _show(self, player: Player) -> None:
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
