"""What the process that has the candidates does, until it has them no longer."""

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError

from services.evaluator.evaluating import Evaluating
from services.evaluator.following import CANDIDATES, EVALUATIONS, Follower
from services.evaluator.handlers import Standing
from services.evaluator.pages import Pages
from services.evaluator.preparing import Preparing
from services.evaluator.rewards import TOPIC as REWARDS
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.turns import DEAD_LETTERS, Turns, outgoing
from services.evaluator.watching import Watcher, worth_saying
from shared.applications.contract import Application
from shared.broker.ledger import Ledger, Outgoing
from shared.broker.settings import BrokerSettings
from shared.telemetry.metrics import Metrics

GROUP = "evaluator"
Clock = Callable[[], int]


class Lead:
    """Fences whoever had the candidates before, and learns from the log how they stand.

    Raises kafka.errors.KafkaError, LedgerBroken, OSError, from everything that it does.
    """

    def __init__(
        self,
        settings: EvaluatorSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        pages: Pages,
        metrics: Metrics,
        clock: Clock,
        threads: ThreadPoolExecutor,
        consumer: Any,
    ) -> None:
        self._settings, self._applications, self._metrics = settings, applications, metrics
        self._clock, self._consumer, self._looked = clock, consumer, 0.0
        self._ledger = Ledger(broker, GROUP)
        self.standing = Standing(applications, settings.tuned_at)
        self._follower = Follower(broker, self.standing, metrics)
        self._follower.catch_up()
        (self._where,) = consumer.assignment()
        position = consumer.committed(self._where) or 0
        consumer.seek(self._where, position)
        partitions = self._ledger.partitions(REWARDS)
        evaluating = Evaluating(settings, broker, applications, pages, partitions, metrics, clock)
        preparing = Preparing(settings, broker, applications, partitions, self.standing.periods)
        self._watcher = Watcher(
            settings, broker, applications, partitions, preparing, self._follower.catch_up, metrics, clock
        )
        self._turns = Turns(
            evaluating,
            threads,
            self._write,
            self.standing,
            applications,
            self._ledger.partitions(DEAD_LETTERS),
            position,
            settings.storage_limit.total_seconds(),
            metrics,
        )

    def step(self, records: Iterable[Any]) -> None:
        """Take what has come of candidates, and go on with everything else for a moment."""
        for record in records:
            self._turns.read(record)
        self._follower.poll()
        self._turns.tend()
        (self._consumer.pause if self._turns.full else self._consumer.resume)(self._where)
        self._watcher.read()
        if time.monotonic() - self._looked >= self._settings.look_every.total_seconds():
            self._looked = time.monotonic()
            self._look()
        self._show()

    def close(self) -> None:
        """Keep the statistics, and disconnect."""
        self._watcher.save()
        for part in (self._ledger, self._follower, self._watcher):
            with suppress(KafkaError):
                part.close()

    def _look(self) -> None:
        """Say what decisions show of candidates, if there is news."""
        settings, standing = self._settings, self.standing
        self._watcher.follow(standing.followed(self._clock(), settings.shadow_age, settings.shadows))
        every = round(settings.shadow_every.total_seconds() * 1000)
        looks = self._watcher.looks(standing.widening, lambda each: standing.stood(each).get("shadow"))
        said = [each for each in looks if worth_saying(each, standing.stood(each), every)]
        if said:
            self._ledger.write(
                [outgoing(each) for each in said], self._watcher.progress, self._watcher.member
            )
            for each in said:
                standing.learn_evaluation(each)
                self._metrics.evaluations.labels(each.application, each.kind, each.verdict).inc()
            self._metrics.records_out.labels(EVALUATIONS).inc(len(said))
        self._watcher.keep()

    def _write(self, records: list[Outgoing], position: int) -> None:
        self._ledger.write(records, {self._where: position}, self._consumer.group_metadata())
        for each in records:
            self._metrics.records_out.labels(each.topic).inc()

    def _show(self) -> None:
        where: TopicPartition = self._where
        lag = max(0, (self._consumer.highwater(where) or 0) - self._turns.position)
        self._metrics.lag_records.labels(CANDIDATES, where.partition).set(lag)
        for name in self._applications:
            self._metrics.widening.labels(name).set(self.standing.widening(name))
