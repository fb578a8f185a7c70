"""The policies that are served: they follow policy-updates, and are swapped whole while requests run."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from services.online_bandit.api.following import Follower
from services.online_bandit.api.learnt import TOPIC, Clock, LearntPolicies
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.traffic import typical_shares
from shared.applications.contract import Application
from shared.applications.observing import policy_observers
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics

LONGEST_PAUSE_S = 2.0
CACHE = "policies.cache"

T = TypeVar("T")


class PolicyStore:
    """`served` holds each application's policy; whoever reads an entry has a whole, unchanging value.

    Reading, merging and solving happen in one worker thread, which rests as long as it has computed: at
    least half of the interpreter's time belongs to requests.
    """

    def __init__(
        self,
        applications: Mapping[str, Application],
        broker: BrokerSettings,
        metrics: Metrics,
        health: Health,
        clock: Clock,
        folder: Path,
        cache_pause_s: float,
    ) -> None:
        self._applications, self._metrics, self._clock = applications, metrics, clock
        self._learnt = LearntPolicies(applications, clock)
        self.served: dict[str, ServedPolicy] = self._learnt.untrained()
        self._log = Follower(TOPIC, broker, health, self._absorb, self._serve_news)
        self._news: set[str] = set()
        self._cache, self._cache_pause_s = folder / CACHE, cache_pause_s
        self._unsaved = False
        self._thread = ThreadPoolExecutor(1, "policies")
        self._tasks: list[asyncio.Task[None]] = []
        self._observers = policy_observers(applications, metrics.registry)
        for name in self._observers:
            self._tell(self.served[name])
        for name, policy in self.served.items():
            metrics.snapshot_age.labels(name, policy.name).set_function(partial(self._age, name))

    async def start(self, wait_s: float) -> None:
        """Begin to follow; return when the log's policies are served, or Kafka is away, or after `wait_s`."""
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        await self._from_cache()
        self._tasks = [asyncio.create_task(self._log.run(), name="policies")]
        await self._log.started(wait_s)
        self._tasks.append(asyncio.create_task(self._keep_cache(), name="cache"))

    async def stop(self) -> None:
        """Stop following, and keep what was learnt for a start without Kafka."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._save()
        self._thread.shutdown()

    async def _absorb(self, records: Sequence[Any]) -> None:
        self._metrics.records_in.labels(TOPIC).inc(len(records))
        updates = [(record.value, record.timestamp) for record in records]
        news, broken = await self._in_thread(lambda: self._learnt.absorb(updates))
        self._news |= news
        if broken:
            self._metrics.records_dead.labels(TOPIC, "malformed").inc(broken)

    async def _serve_news(self) -> None:
        for application in sorted(self._news):
            await self._serve(application)
        self._news.clear()

    async def _serve(self, application: str) -> None:
        began, before = perf_counter(), self.served[application]
        policy = await self._in_thread(lambda: self._learnt.solved(application, before))
        self._put(policy)
        self._unsaved = True
        if self._log.caught_up.is_set() and policy.learnt_at is not None:
            fresh = max(0, self._clock() - policy.learnt_at) / 1000
            self._metrics.freshness.labels(application).observe(fresh)
        if policy.model is not before.model:
            took = perf_counter() - began
            self._metrics.solve_seconds.labels(application).observe(took)
            await asyncio.sleep(min(took, LONGEST_PAUSE_S))

    def _put(self, policy: ServedPolicy) -> None:
        if not self._log.caught_up.is_set() or policy.version >= self.served[policy.application].version:
            self.served[policy.application] = policy
            self._metrics.policy_version.labels(policy.application, policy.name).set(policy.version)
            if policy.application in self._observers:
                self._tell(policy)

    def _tell(self, policy: ServedPolicy) -> None:
        shares = typical_shares(policy, self._applications[policy.application])
        self._observers[policy.application].served(policy.pulls, policy.means, shares)

    async def _from_cache(self) -> None:
        """Serve what the last process knew, until the log tells."""
        learnt = LearntPolicies(self._applications, self._clock)
        timestamp = int(self._cache.stat().st_mtime * 1000) if self._cache.exists() else 0
        for application in await self._in_thread(lambda: learnt.load(self._cache, timestamp)):
            before = self.served[application]
            self._put(await self._in_thread(lambda: learnt.solved(application, before)))  # noqa: B023

    async def _keep_cache(self) -> None:
        while True:
            await asyncio.sleep(self._cache_pause_s)
            await self._save()

    async def _save(self) -> None:
        if self._unsaved and self._log.caught_up.is_set():
            self._unsaved = False
            try:
                await self._in_thread(lambda: self._learnt.save(self._cache))
            except OSError as error:
                logger(__name__).error("policies cannot be kept on disk", why=str(error))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _age(self, application: str) -> float:
        learnt_at = self.served[application].learnt_at
        return float("nan") if learnt_at is None else (self._clock() - learnt_at) / 1000
