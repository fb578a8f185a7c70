"""The deployments that are obeyed: they follow `deployments`, and are swapped whole while requests run."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar, get_args

from services.online_bandit.api.arms import ONLINE, Arms, Failure, Problem, Resolved, resolve
from services.online_bandit.api.artefacts import ArtefactStore
from services.online_bandit.api.deployed import FOREIGN, TOPIC, DeploymentLog
from services.online_bandit.api.following import Follower
from services.online_bandit.api.killing import Kill, KillFile
from services.online_bandit.api.learnt import Clock
from services.online_bandit.api.trained import TrainedPolicy
from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.logging import logger
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import Arm, Deployed, Deployment

CACHE, KILLED, ARTEFACTS = "deployments.cache", "killed.json", "artefacts"
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
"""Pauses between attempts to reach an artefact; each doubles the last."""
KEPT = 4
"""Policies of an application that stay loaded, for going back to one at once."""
THREADS = 2
"""An artefact that is slow to come must not keep the others waiting."""

T = TypeVar("T")


class DeploymentStore:
    """`arms` holds what decides for each application; one without an entry has its online policy.

    Records take effect in the event loop's turn in which they are read, with the policies that are loaded
    by then; what has to be loaded first is fetched by worker threads and takes effect once it is there.
    """

    def __init__(
        self,
        applications: Mapping[str, Application],
        broker: BrokerSettings,
        metrics: Metrics,
        health: Health,
        clock: Clock,
        folder: Path,
        key: bytes | None,
        artefact_limit: int,
    ) -> None:
        self._applications, self._metrics, self._clock, self._key = applications, metrics, clock, key
        self.arms: dict[str, Arms] = {}
        self.killed: dict[str, Kill] = {}
        self._obeyed = DeploymentLog(applications)
        self._read = DeploymentLog(applications)
        """What the topic says; obeyed once it has been read."""
        self._problems: dict[str, tuple[Problem, ...]] = {}
        self._loaded: dict[str, OrderedDict[Deployed, TrainedPolicy]] = {
            name: OrderedDict() for name in applications
        }
        self._failures: dict[str, dict[Deployed, Failure]] = {name: {} for name in applications}
        self._loading: dict[tuple[str, Deployed], asyncio.Task[None]] = {}
        self._artefacts = ArtefactStore(applications, folder / ARTEFACTS, artefact_limit)
        self._cache, self._kill_file = folder / CACHE, KillFile(folder / KILLED)
        self._disk = asyncio.Lock()
        self._log = Follower(TOPIC, broker, health, self._take, self._settle)
        self._threads = ThreadPoolExecutor(THREADS, "artefacts")
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, wait_s: float) -> None:
        """Begin to follow; return once what is deployed decides, as far as that is to be had in `wait_s`."""
        until = monotonic() + wait_s
        self.killed = await asyncio.to_thread(self._kill_file.read, self._applications)
        try:
            await asyncio.to_thread(self._artefacts.clear_unfinished)
            await asyncio.to_thread(self._obeyed.load, self._cache)
        except OSError as error:
            logger(__name__).error("kept deployments cannot be read", why=str(error))
        for application in self._applications:
            self._obey(application)
        self._tasks = [asyncio.create_task(self._log.run(), name="deployments")]
        await self._log.started(wait_s)
        if self._loading:
            await asyncio.wait(list(self._loading.values()), timeout=max(0.0, until - monotonic()))

    async def stop(self) -> None:
        """Stop following."""
        tasks = [*self._tasks, *self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def deployment(self, application: str) -> Deployment | None:
        """The deployment that is obeyed."""
        return self._obeyed.known.get(application)

    def problems(self, application: str) -> Sequence[Problem]:
        """Which arms are without their policy, and why."""
        return self._problems.get(application, ())

    async def kill(self, application: str, kill: Kill) -> None:
        """Let the online policy decide, from this turn of the event loop on; on disk on return.

        Raises OSError where the disk does not take it: the switch is on all the same.
        """
        self.killed[application] = kill
        self._put(application)
        await self._keep_kills()

    async def revive(self, application: str) -> None:
        """Obey the deployment again. Raises OSError: the next process may find the switch on."""
        self.killed.pop(application, None)
        self._put(application)
        await self._keep_kills()

    async def _keep_kills(self) -> None:
        async with self._disk:
            await asyncio.to_thread(self._kill_file.write, dict(self.killed))

    async def _take(self, records: Sequence[Any]) -> None:
        self._metrics.records_in.labels(TOPIC).inc(len(records))
        log = self._read
        news = log.absorb((record.key, record.value) for record in records)
        for reason, count in log.dead.items():
            self._metrics.records_dead.labels(TOPIC, reason).inc(count)
        self._metrics.records_filtered.labels(TOPIC, FOREIGN).inc(log.filtered)
        log.dead.clear()
        log.filtered = 0
        if log is self._obeyed:
            for application in news:
                self._obey(application)
            if news:
                self._spawn(self._keep(), "keep deployments")

    async def _settle(self) -> None:
        if self._obeyed is not self._read:
            self._obeyed = self._read
            for application in self._applications:
                self._obey(application)
            await self._keep()

    def _obey(self, application: str) -> None:
        """A deployment is new: what could not be loaded is tried again."""
        self._failures[application].clear()
        self._put(application)
        for deployed in self._wanted(application):
            if deployed not in self._loaded[application] and (application, deployed) not in self._loading:
                task = asyncio.create_task(self._load(application, deployed), name="artefact")
                self._loading[application, deployed] = task
                task.add_done_callback(partial(self._loaded_or_not, application, deployed))

    def _loaded_or_not(self, application: str, deployed: Deployed, _: object) -> None:
        self._loading.pop((application, deployed), None)

    def _wanted(self, application: str) -> list[Deployed]:
        """The artefacts that are to decide."""
        deployment = self.deployment(application)
        if deployment is None:
            return []
        policies = [deployment.stable] + ([deployment.canary] if deployment.canary else [])
        return [each for each in policies if each.artefact and each.policy not in deployment.blocked]

    def _put(self, application: str) -> None:
        """Swap in what the deployment, the loaded policies and the kill switch come to now."""
        deployment = self.deployment(application)
        resolved = Resolved(ONLINE)
        if deployment is not None:
            online = self._applications[application].settings.policy.name
            loaded, failures = self._loaded[application], self._failures[application]
            resolved = resolve(deployment, online, loaded, failures, self._key)
        self.arms[application] = ONLINE if application in self.killed else resolved.arms
        if resolved.problems != self._problems.get(application, ()):
            for problem in resolved.problems:
                told = logger(__name__).info if problem.reason == "loading" else logger(__name__).error
                told("an arm is without its policy", application=application, **problem._asdict())
        self._problems[application] = resolved.problems
        self._measure(application)

    async def _load(self, application: str, deployed: Deployed) -> None:
        pause = RETRY_S
        while True:
            found = await self._in_thread(partial(self._artefacts.policy, application, deployed))
            if isinstance(found, TrainedPolicy):
                self._keep_loaded(application, deployed, found)
                self._put(application)
                return
            self._metrics.artefact_failures.labels(application, found.reason).inc()
            self._failures[application][deployed] = found
            self._put(application)
            if found.reason != "unreachable" or deployed not in self._wanted(application):
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY_S)

    def _keep_loaded(self, application: str, deployed: Deployed, policy: TrainedPolicy) -> None:
        loaded, wanted = self._loaded[application], self._wanted(application)
        loaded[deployed] = policy
        self._failures[application].pop(deployed, None)
        for old in [each for each in loaded if each not in wanted][: max(0, len(loaded) - KEPT)]:
            del loaded[old]

    async def _keep(self) -> None:
        """Keep on disk what a start without Kafka needs."""
        async with self._disk:
            try:
                await asyncio.to_thread(self._obeyed.save, self._cache)
                keep = {each.manifest_sha256 for loaded in self._loaded.values() for each in loaded}
                keep |= {each.manifest_sha256 for name in self._applications for each in self._wanted(name)}
                await asyncio.to_thread(self._artefacts.prune, keep)
            except OSError as error:
                logger(__name__).error("deployments cannot be kept on disk", why=str(error))

    def _measure(self, application: str) -> None:
        deployment, arms = self.deployment(application), self.arms[application]
        replaced = {problem.arm for problem in self.problems(application)}
        for arm in get_args(Arm):
            self._metrics.arm_share.labels(application, arm).set(_share(arms, arm))
            self._metrics.arm_replaced.labels(application, arm).set(arm in replaced)
        self._metrics.killed.labels(application).set(application in self.killed)
        if deployment is not None:
            self._metrics.deployment_sequence.labels(application).set(deployment.sequence)
            age = self._metrics.deployment_age.labels(application)
            age.set_function(lambda: (self._clock() - deployment.at) / 1000)

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _share(arms: Arms, arm: Arm) -> float:
    if arms.split is None:
        return float(arm == "stable")
    return arms.split.share_of(arm)
