"""The evaluator's loop: candidates come in, evaluations go out. One thread owns all of it.

Candidates are evaluated in the order of their topic, one at a time, in a thread beside, while this one polls
Kafka, so that the group keeps its member however long that takes.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from services.evaluator.evaluating import Evaluating
from services.evaluator.following import CANDIDATES, EVALUATIONS, Follower
from services.evaluator.handlers import Standing
from services.evaluator.pages import Pages
from services.evaluator.rewards import TOPIC as REWARDS
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.watching import Watcher, worth_saying
from shared.applications.contract import Application
from shared.broker import dead_letters
from shared.broker.ledger import Ledger, LedgerBroken, Outgoing
from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics, bounded
from shared.wire.codec import WireError
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate, read_candidate

GROUP, DEAD_LETTERS = "evaluator", "dead-letters"
POLL_MS = 100
SESSION_MS = 10_000
"""After so long without a sign of life, the candidates go to another evaluator."""
RETRY_S = 1.0
"""After Kafka could not be reached."""
WAITING = 100
"""Candidates read ahead; more wait in Kafka."""
log = logging.getLogger(__name__)

Clock = Callable[[], int]


@dataclass(frozen=True)
class Waiting:
    """A record whose turn has not come: a candidate, or why it is none."""

    record: Any
    candidate: Candidate | None
    error: WireError | None = None


class Evaluator:
    """Consumes `candidates`; `clock` is in milliseconds since 1970."""

    def __init__(
        self,
        settings: EvaluatorSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        pages: Pages,
        metrics: Metrics,
        health: Health,
        clock: Clock = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings, self._broker, self._applications = settings, broker, applications
        self._pages, self._metrics, self._clock = pages, metrics, clock
        self._loop = health.loop("candidates", limit=120.0)
        health.check(
            "candidates",
            lambda: None if self.leads else "another evaluator has the candidates, or Kafka is away",
        )
        self._thread = ThreadPoolExecutor(1, "evaluating")
        self._stopping = False
        self._listener = _Listener()
        self._consumer: Any = None
        self._ledger: Ledger | None = None
        self._follower: Follower | None = None
        self._watcher: Watcher | None = None
        self._looked = 0.0
        self._waiting: deque[Waiting] = deque()
        self._running: tuple[Waiting, Future[Evaluation]] | None = None
        self._next = self._committed = 0
        self.leads = False
        """Whether this process has the candidates."""
        self.standing = Standing(applications, settings.tuned_at)
        """What is known, replaced as a whole when candidates change hands."""

    def run(self) -> None:
        """Work until `stop`. What is under way then is done again by who takes over."""
        while not self._stopping:
            try:
                self._consumer = self._subscribe()
                self._serve()
            except (KafkaError, LedgerBroken) as error:
                log.warning("Kafka: %s; trying again", error)
            finally:
                self._let_go()
            if not self._stopping:
                time.sleep(RETRY_S)
        self._thread.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Ask `run` to return; from any thread."""
        self._stopping = True

    def _subscribe(self) -> Any:
        consumer = KafkaConsumer(
            **self._broker.kafka_python(),
            group_id=self._broker.group(GROUP),
            group_instance_id=self._settings.instance,
            session_timeout_ms=SESSION_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=WAITING,
        )
        self._listener = _Listener()
        consumer.subscribe([self._broker.topic(CANDIDATES)], listener=self._listener)
        return consumer

    def _serve(self) -> None:
        while not self._stopping:
            polled = self._consumer.poll(timeout_ms=POLL_MS)
            self._loop.beat()
            if self._listener.changed():
                self._leave()
                if self._consumer.assignment():
                    self._take_over()
            if not self.leads or self._follower is None:
                continue
            for record in (record for records in polled.values() for record in records):
                self._read(record)
            self._follower.poll()
            self._tend()
            self._watch()
            self._show()

    def _take_over(self) -> None:
        """Fence whoever had the candidates before, and learn from the log how they stand."""
        self._ledger = Ledger(self._broker, GROUP)
        self.standing = Standing(self._applications, self._settings.tuned_at)
        self._follower = Follower(self._broker, self.standing, self._metrics)
        self._follower.catch_up()
        (where,) = self._consumer.assignment()
        self._next = self._committed = self._consumer.committed(where) or 0
        self._consumer.seek(where, self._next)
        partitions = self._ledger.partitions(REWARDS)
        self._evaluating = Evaluating(
            self._settings, self._broker, self._applications, self._pages, partitions, self._clock
        )
        self._watcher = Watcher(
            self._settings, self._broker, self._applications, partitions, self._metrics, self._clock
        )
        self.leads = True

    def _leave(self) -> None:
        self.leads = False
        self._waiting.clear()
        self._running = None
        if self._watcher is not None:
            self._watcher.save()
        for part in (self._ledger, self._follower, self._watcher):
            if part is not None:
                with suppress(KafkaError):
                    part.close()
        self._ledger = self._follower = self._watcher = None

    def _let_go(self) -> None:
        self._leave()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError):
                consumer.close()

    def _read(self, record: Any) -> None:
        self._metrics.records_in.labels(CANDIDATES).inc()
        try:
            self._waiting.append(Waiting(record, read_candidate(record.value)))
        except WireError as error:
            self._waiting.append(Waiting(record, None, error))

    def _tend(self) -> None:
        """Go on with the candidate under way, or with what waits longest."""
        if self._running is not None:
            waiting, evaluated = self._running
            if not evaluated.done():
                return
            self._running = None
            self._publish(waiting, evaluated.result())
        while self._waiting and self._running is None:
            self._begin(self._waiting.popleft())
        if self._running is None and self._next > self._committed:
            self._write()
        where = self._consumer.assignment()
        (self._consumer.pause if len(self._waiting) >= WAITING else self._consumer.resume)(*where)

    def _begin(self, waiting: Waiting) -> None:
        candidate, after = waiting.candidate, waiting.record.offset + 1
        if candidate is None:
            self._next = after
            self._bury(waiting)
            return
        passed = self._passed_over(candidate)
        if passed is None:
            self.standing.learn_candidate(candidate)
            lineage = self.standing.lineage(candidate)
            widening = self.standing.widening(candidate.application)
            work = self._thread.submit(self._evaluating.evaluate, candidate, lineage, widening)
            self._running = (waiting, work)
            return
        self._next = after
        if passed == "duplicate":
            self._metrics.records_duplicate.labels(CANDIDATES).inc()
        else:
            self._metrics.records_filtered.labels(CANDIDATES, passed).inc()

    def _passed_over(self, candidate: Candidate) -> str | None:
        """Why a candidate is not evaluated, None if it is."""
        if candidate.status != "trained":
            return "not-trained"
        if candidate.application not in self._applications:
            return "unknown-application"
        key = (candidate.application, candidate.candidate_id)
        return "duplicate" if key in self.standing.judged else None

    def _publish(self, waiting: Waiting, evaluation: Evaluation) -> None:
        self._next = waiting.record.offset + 1
        self._write(_outgoing(evaluation))
        self.standing.learn_evaluation(evaluation)
        name = bounded(evaluation.application, self._applications)
        self._metrics.evaluations.labels(name, evaluation.kind, evaluation.verdict).inc()

    def _watch(self) -> None:
        """Count decisions as they flow, and say what they show of candidates."""
        assert self._watcher is not None
        settings, standing = self._settings, self.standing
        self._watcher.read()
        if time.monotonic() - self._looked < settings.look_every.total_seconds():
            return
        self._looked = time.monotonic()
        self._watcher.follow(standing.followed(self._clock(), settings.shadow_age, settings.shadows))
        every = round(settings.shadow_every.total_seconds() * 1000)
        looks = self._watcher.looks(standing.widening, lambda each: standing.stood(each).get("shadow"))
        said = [each for each in looks if worth_saying(each, standing.stood(each), every)]
        if said:
            self._write_looks(said)
        self._watcher.keep()

    def _write_looks(self, said: Sequence[Evaluation]) -> None:
        assert self._ledger is not None
        assert self._watcher is not None
        self._ledger.write([_outgoing(each) for each in said], self._watcher.progress, self._watcher.member)
        for each in said:
            self.standing.learn_evaluation(each)
            self._metrics.evaluations.labels(each.application, each.kind, each.verdict).inc()
            self._metrics.records_out.labels(EVALUATIONS).inc()

    def _bury(self, waiting: Waiting) -> None:
        assert waiting.error is not None
        assert self._ledger is not None
        record, error = waiting.record, waiting.error
        headers = dead_letters.headers(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            message=str(error),
            stage=GROUP,
        )
        partition = partition_for(record.key or b"", self._ledger.partitions(DEAD_LETTERS))
        self._write(Outgoing(DEAD_LETTERS, record.key, record.value, headers, partition))
        self._metrics.records_dead.labels(CANDIDATES, error.reason).inc()

    def _write(self, *records: Outgoing) -> None:
        """These records and how far candidates are done, or neither."""
        assert self._ledger is not None
        where = TopicPartition(self._broker.topic(CANDIDATES), 0)
        self._ledger.write(records, {where: self._next}, self._consumer.group_metadata())
        self._committed = self._next
        for each in records:
            self._metrics.records_out.labels(each.topic).inc()

    def _show(self) -> None:
        (where,) = self._consumer.assignment()
        lag = max(0, (self._consumer.highwater(where) or 0) - self._next)
        self._metrics.lag_records.labels(CANDIDATES, where.partition).set(lag)
        for name in self._applications:
            self._metrics.widening.labels(name).set(self.standing.widening(name))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes that partitions were given or taken; it is called from Kafka's own thread."""

    def __init__(self) -> None:
        self._changes = self._seen = 0

    def on_partitions_revoked(self, revoked: object) -> None:
        """Called before a rebalance."""
        self._changes += 1

    def on_partitions_assigned(self, assigned: object) -> None:
        """Called after it."""
        self._changes += 1

    def changed(self) -> bool:
        """Whether anything has changed since the last call."""
        changes, before, self._seen = self._changes, self._seen, self._changes
        return changes != before


def _outgoing(evaluation: Evaluation) -> Outgoing:
    return Outgoing(EVALUATIONS, evaluation.application.encode(), evaluation.encode())
