"""The policies that are served: they follow policy-updates, and are swapped whole while requests run."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from services.online_bandit.api.learnt import TOPIC, Clock, LearntPolicies
from services.online_bandit.api.served import ServedPolicy
from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics

POLL_MS = 200
"""How long one fetch waits for news; also how often the loop shows that it lives."""
MOST_RECORDS = 200
"""Updates taken at once, for the loop to show soon that it lives."""
FETCH_BYTES = 4 << 20
"""What one fetch may hold: a large model passes through memory in pieces."""
CONNECT_S = 10.0
"""How long Kafka may take to say where the log ends; after that it counts as away."""
QUIET_POLLS = 10
"""Fetches without news after which the log's end is reached: what is left are transactions' markers."""
LONGEST_PAUSE_S = 2.0
RETRY_S = 1.0
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
        self._applications, self._broker, self._metrics, self._clock = applications, broker, metrics, clock
        self._learnt = LearntPolicies(applications, clock)
        self.served: dict[str, ServedPolicy] = self._learnt.untrained()
        self.caught_up = asyncio.Event()
        """All that the topic held at the start is being served."""
        self.unreachable = asyncio.Event()
        """Kafka did not answer at the start."""
        self._cache, self._cache_pause_s = folder / CACHE, cache_pause_s
        self._unsaved = False
        self._thread = ThreadPoolExecutor(1, "policies")
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = health.loop("policies")
        health.check("policies", self._hindrance)
        for name, policy in self.served.items():
            metrics.snapshot_age.labels(name, policy.name).set_function(partial(self._age, name))

    async def start(self, wait_s: float) -> None:
        """Begin to follow; return when the log's policies are served, or Kafka is away, or after `wait_s`."""
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        await self._from_cache()
        self._tasks = [asyncio.create_task(self._run(), name="policies")]
        events = [asyncio.ensure_future(event.wait()) for event in (self.caught_up, self.unreachable)]
        await asyncio.wait(events, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()
        self._tasks.append(asyncio.create_task(self._keep_cache(), name="cache"))

    async def stop(self) -> None:
        """Stop following, and keep what was learnt for a start without Kafka."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._save()
        self._thread.shutdown()

    async def _run(self) -> None:
        partition = TopicPartition(self._broker.topic(TOPIC), 0)
        while True:
            consumer = AIOKafkaConsumer(
                **self._broker.aiokafka(),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            try:
                async with asyncio.timeout(CONNECT_S):
                    await consumer.start()
                    end = (await consumer.end_offsets([partition]))[partition]
                consumer.assign([partition])
                await self._follow(consumer, partition, end)
            except (KafkaError, OSError) as error:
                self._loop.beat()
                self.unreachable.set()
                logger(__name__).info("no policy updates", why=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_S)
            finally:
                await consumer.stop()

    async def _follow(self, consumer: Any, partition: TopicPartition, end: int) -> None:
        news: set[str] = set()
        quiet = 0
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
            self._loop.beat()
            records = [(record.value, record.timestamp) for part in fetched.values() for record in part]
            if records:
                news |= await self._absorb(records)
            quiet = 0 if records else quiet + 1
            if (
                not self.caught_up.is_set()
                and quiet < QUIET_POLLS
                and await consumer.position(partition) < end
            ):
                continue
            for application in sorted(news):
                await self._serve(application)
            news.clear()
            self.caught_up.set()

    async def _absorb(self, records: list[tuple[bytes | None, int]]) -> set[str]:
        self._metrics.records_in.labels(TOPIC).inc(len(records))
        news, broken = await self._in_thread(lambda: self._learnt.absorb(records))
        if broken:
            self._metrics.records_dead.labels(TOPIC, "malformed").inc(broken)
        return news

    async def _serve(self, application: str) -> None:
        began, before = perf_counter(), self.served[application]
        policy = await self._in_thread(lambda: self._learnt.solved(application, before))
        self._put(policy)
        self._unsaved = True
        if policy.model is not before.model:
            took = perf_counter() - began
            self._metrics.solve_seconds.labels(application).observe(took)
            await asyncio.sleep(min(took, LONGEST_PAUSE_S))

    def _put(self, policy: ServedPolicy) -> None:
        if not self.caught_up.is_set() or policy.version >= self.served[policy.application].version:
            self.served[policy.application] = policy
            self._metrics.policy_version.labels(policy.application, policy.name).set(policy.version)

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
        if self._unsaved and self.caught_up.is_set():
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

    def _hindrance(self) -> str | None:
        if self.caught_up.is_set() or self.unreachable.is_set():
            return None
        return "the log of policies is being read"
