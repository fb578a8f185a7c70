"""The trainer's loop: requests come in, trainings run, answers go out. One thread owns all of it.

It polls Kafka between looks at its trainings, so the group keeps it however long they take; while too many
requests are open, it polls a paused partition.
"""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from services.trainer.handlers import Desk, Job
from services.trainer.ledger import GROUP, TRIGGERS, DeadTrigger, Ledger, LedgerBroken, read_candidates
from services.trainer.planning import Refused, choose_data, plan
from services.trainer.running import Training
from services.trainer.settings import TrainerSettings
from shared.applications.contract import Application
from shared.archive.archive import Archive
from shared.broker.ledger import Changes, join, poll
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics, bounded
from shared.wire.codec import WireError
from shared.wire.training import Candidate, Trigger, read_trigger

POLL_MS = 100
SESSION_MS = 10_000
"""After so long without a sign of life, the requests go to another trainer."""
RETRY_S = 1.0
"""After Kafka could not be reached."""
LOST_S = 60.0
"""A training whose requests another trainer has had for so long is ended: longer than a rebalance takes."""
FRESHEN_S = 30.0
"""How long a training waits for the rewards that are read but not yet archived."""
log = logging.getLogger(__name__)

Clock = Callable[[], int]


class Trainer:
    """Consumes `retrain-triggers`.

    `flush` archives what is read, `tell` takes each answer once it is in the log, `clock` is in milliseconds
    since 1970.
    """

    def __init__(
        self,
        settings: TrainerSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        archive: Archive,
        metrics: Metrics,
        health: Health,
        flush: Callable[[], Future[None]],
        tell: Callable[[Candidate], None],
        clock: Clock = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings, self._broker, self._applications = settings, broker, applications
        self._archive, self._metrics, self._flush, self._clock = archive, metrics, flush, clock
        self._tell = tell
        self._loop = health.loop("triggers", limit=120.0)
        health.check(
            "triggers", lambda: None if self.leads else "another trainer has the requests, or Kafka is away"
        )
        self._listener = Changes()
        self._asked: SimpleQueue[tuple[str, Future[str]]] = SimpleQueue()
        self._stopping = False
        self._consumer: Any = None
        self._ledger: Ledger | None = None
        self._desk = Desk([], 0)
        self._trainings: dict[str, Training] = {}
        self._flushing: dict[str, tuple[Future[None], float]] = {}
        self._ended: dict[str, Candidate] = {}
        self._led, self._committed = time.monotonic(), -1
        self.leads = False
        """Whether this process has the requests."""
        self.board: list[tuple[Job, Candidate | None]] = []
        """Open jobs and where they stand, replaced as a whole."""
        self.answers: list[Candidate] = []
        """Terminal records, the last ones written last, replaced as a whole."""

    def run(self) -> None:
        """Work until `stop`. Whatever is under way then is begun again by who takes over."""
        while not self._stopping:
            try:
                self._consumer = self._member()
                self._serve()
            except (KafkaError, LedgerBroken) as error:
                log.warning("Kafka: %s; trying again", error)
            finally:
                self._let_go()
            if not self._stopping:
                time.sleep(RETRY_S)
        for training in self._trainings.values():
            training.stop()

    def stop(self) -> None:
        """Ask `run` to return; from any thread."""
        self._stopping = True

    def cancel(self, request_id: str) -> "Future[str]":
        """Ask to end a job, from any thread: "cancelled" once that is in the log, "unknown" or "over"."""
        done: Future[str] = Future()
        self._asked.put((request_id, done))
        return done

    def _member(self) -> Any:
        return KafkaConsumer(
            **self._broker.kafka_python(),
            group_id=self._broker.group(GROUP),
            group_instance_id=self._settings.instance,
            session_timeout_ms=SESSION_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=self._settings.waiting,
        )

    def _serve(self) -> None:
        self._listener = Changes()
        join(self._consumer, [self._broker.topic(TRIGGERS)], self._listener)
        while not self._stopping:
            polled = poll(self._consumer, POLL_MS)
            self._loop.beat()
            if self._listener.changed():
                self._leave()
                if self._consumer.assignment():
                    self._take_over()
                    polled = {}  # read again, from where the log says
            self._give_up_lost()
            if self.leads:
                for record in (record for records in polled.values() for record in records):
                    self._read(record)
                self._tend()
                self._show()
            self._answer_asked()

    def _take_over(self) -> None:
        """Fence whoever had the requests before, and learn from the log how they stand."""
        self._ledger = Ledger(self._broker)
        (where,) = self._consumer.assignment()
        position = self._consumer.committed(where) or 0
        self._desk = Desk(read_candidates(self._broker), position, self._settings.parallel)
        # A training whose answer was on its way when Kafka failed may have it.
        self._ended = {key: each for key, each in self._ended.items() if not self._desk.answered(key)}
        for folder in self._work.glob("*"):
            if folder.name not in {training.folder.name for training in self._trainings.values()}:
                shutil.rmtree(folder, ignore_errors=True)
        self._consumer.seek(where, position)
        self._committed, self.leads = position, True

    def _leave(self) -> None:
        self.leads = False
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _give_up_lost(self) -> None:
        if self.leads:
            self._led = time.monotonic()
        elif self._trainings and time.monotonic() - self._led > LOST_S:
            for training in self._trainings.values():
                training.stop()
            self._trainings, self._ended = {}, {}

    def _let_go(self) -> None:
        self._leave()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError):
                consumer.close()

    @property
    def _work(self) -> Path:
        return self._settings.state / "work"

    def _write(
        self, *candidates: Candidate, answered: Job | None = None, dead: DeadTrigger | None = None
    ) -> None:
        assert self._ledger is not None
        position = self._desk.position(answered)
        member = self._consumer.group_metadata()
        self._ledger.write(candidates, [dead] if dead else [], position, member)
        self._committed = position
        self._metrics.records_out.labels("candidates").inc(len(candidates))

    def _read(self, record: Any) -> None:
        self._metrics.records_in.labels(TRIGGERS).inc()
        try:
            trigger = read_trigger(record.value)
        except WireError as error:
            self._desk.skip(record.offset)
            self._write(dead=DeadTrigger(record.offset, record.key, record.value, error.reason, str(error)))
            self._metrics.records_dead.labels(TRIGGERS, error.reason).inc()
            return
        if self._settings.trains and trigger.application not in self._settings.trains:
            self._desk.skip(record.offset)
            self._metrics.records_filtered.labels(TRIGGERS, "trained-elsewhere").inc()
            return
        job = self._desk.take(record.offset, trigger)
        if job is None or len(job.offsets) > 1:
            self._metrics.records_duplicate.labels(TRIGGERS).inc()
        elif job.begun is None:
            try:
                plan(trigger, self._applications)
            except Refused as error:
                self._refuse(job, error)

    def _tend(self) -> None:
        for key, training in list(self._trainings.items()):
            job = self._desk.find(key)
            if job is None and self._desk.answered(key):
                training.stop()
                del self._trainings[key]
            elif job is not None:
                self._follow(job, training)
        for job in self._desk.due():
            if job.id not in self._trainings:
                self._flushing[job.id] = (self._flush(), time.monotonic() + FRESHEN_S)
        for job in list(self._desk.running.values()):
            if job.id in self._flushing:
                flushed, deadline = self._flushing[job.id]
                if flushed.done() or time.monotonic() > deadline:
                    del self._flushing[job.id]
                    self._begin(job)
        if self._desk.position() > self._committed:  # nothing was to be written for what came
            self._write()
        where = self._consumer.assignment()
        full = len(self._desk.jobs) >= self._settings.waiting
        (self._consumer.pause if full else self._consumer.resume)(*where)

    def _begin(self, job: Job) -> None:
        """Start a job's training, as it was decided before if it was under way once."""
        try:
            begun = self._decide(job)
        except Refused as error:
            self._refuse(job, error)
            return
        if job.begun is None:
            self._write(begun)
        previous, export = self._previous(begun), self._exports(begun)
        self._trainings[job.id] = Training(self._settings, begun, previous, export, self._work, self._clock)

    def _refuse(self, job: Job, error: Refused) -> None:
        self._end(job, replace(_answer(job, self._clock()), status="refused", reason=str(error)))

    def _decide(self, job: Job) -> Candidate:
        if job.begun is not None:
            return job.begun
        made = plan(job.trigger, self._applications)
        last = self._desk.last_trained.get((job.trigger.application, made.algorithm))
        data = choose_data(job.trigger, made, self._archive, last)
        now = self._clock()
        return replace(
            _answer(job, now),
            status="running",
            algorithm=made.algorithm,
            parameters=made.parameters,
            seed=made.seed,
            lineage=data.spans,
            decided_from=data.decided_from,
            previous=data.previous.candidate_id if data.previous else "",
            attempt=1,
            started_at=now,
        )

    def _previous(self, begun: Candidate) -> str:
        """The address of the artefact to go on from, empty for none."""
        last = self._desk.last_trained.get((begun.application, begun.algorithm))
        return last.artefact if last and begun.previous == last.candidate_id else ""

    def _exports(self, begun: Candidate) -> tuple[str, ...]:
        """Which GGUF files are made of it: those of the application's own algorithm."""
        training = self._applications[begun.application].settings.training
        return training.export if begun.algorithm == training.algorithm else ()

    def _follow(self, job: Job, training: Training) -> None:
        if job.id not in self._ended:
            said = training.look()
            if said is not None and said.terminal:
                self._ended[job.id] = said
            elif said is not None:
                self._write(said)
            return
        self._end(job, replace(self._ended[job.id], joined=job.joined))

    def _end(self, job: Job, record: Candidate) -> None:
        self._write(record, answered=job)
        self._desk.answer(record)
        self._tell(record)
        self._ended.pop(job.id, None)
        self._flushing.pop(job.id, None)
        if training := self._trainings.pop(job.id, None):
            training.stop()
        name = bounded(record.application, self._applications)
        self._metrics.trainings.labels(name, record.status).inc()
        if record.started_at is not None:
            self._metrics.training_seconds.labels(name).observe((record.at - record.started_at) / 1000)

    def _answer_asked(self) -> None:
        with suppress(Empty):
            while True:
                request_id, done = self._asked.get_nowait()
                job = self._desk.find(request_id) if self.leads else None
                if job is None:
                    done.set_result("over" if self._desk.answered(request_id) else "unknown")
                    continue
                training = self._trainings.get(job.id)
                stood = training.record if training else _answer(job, self._clock())
                ended = replace(stood, status="cancelled", reason="it was cancelled", joined=job.joined)
                self._end(job, replace(ended, at=self._clock()))
                done.set_result("cancelled")

    def _show(self) -> None:
        jobs = self._desk.jobs
        self.board = [(job, t.record if (t := self._trainings.get(job.id)) else job.begun) for job in jobs]
        self.answers = list(self._desk.answers)
        self._metrics.training_requests.set(len(jobs))
        for name in self._applications:
            running = [t.record.progress for t in self._trainings.values() if t.record.application == name]
            self._metrics.training_progress.labels(name).set(running[0] if running else 0.0)
        (where,) = self._consumer.assignment()
        lag = max(0, (self._consumer.highwater(where) or 0) - self._desk.position())
        self._metrics.lag_records.labels(TRIGGERS, where.partition).set(lag)


def _answer(job: Job, now: int) -> Candidate:
    """A record about a job, of which nothing is known but the request."""
    asked: Trigger = job.trigger
    return Candidate(
        request_id=asked.request_id,
        application=asked.application,
        status="running",
        requested_at=asked.requested_at,
        at=now,
        algorithm=asked.algorithm or "",
        parameters=asked.parameters,
        joined=job.joined,
    )
