"""The deployer's loop: facts come in, one transaction each goes out. One thread owns all of it."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

from services.deployer.book import Book
from services.deployer.commands import Command
from services.deployer.models import Models
from services.deployer.notifying import Notifier
from services.deployer.office import Office
from services.deployer.reading import RewardReader
from services.deployer.records import EVALUATIONS, EVENTS, outgoing, read_books, unreadable
from services.deployer.settings import DeployerSettings
from services.deployer.stepping import Change, Unverified
from services.deployer.verifying import Checked, Progress, Verifier
from shared.applications.contract import Application
from shared.broker.ledger import Changes, Ledger, LedgerBroken, join, poll
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.wire.codec import WireError
from shared.wire.rollouts import Deployed, read_evaluation, read_event

GROUP = "deployer"
SESSION_MS = 10_000
"""After so long without a sign of life, another deployer leads."""
RETRY_S = 1.0
"""After Kafka could not be reached."""
ANSWER_SHARE = 0.8
"""Of the time in which a command has to be in the log, that it may wait for an artefact."""
COMMIT_S = 5.0
"""How long positions whose records led to nothing wait to be committed."""
log = logging.getLogger(__name__)
Clock = Callable[[], int]


class NotLeading(RuntimeError):
    """Another deployer leads, or Kafka is away."""


class StillVerifying(RuntimeError):
    """The artefact is still being verified: ask again."""


@dataclass
class _Asked:
    command: Command
    done: "Future[Change]"
    until: float
    """When waiting for an artefact ends, by the monotonic clock."""
    known: dict[Deployed, Checked] = field(default_factory=dict)
    awaits: "tuple[Deployed, Future[Checked]] | None" = None
    doubtful: bool = False
    """It goes back to a version that is not verified yet."""


class Deployer:
    """Consumes evaluations, kill switches and commands; `clock` is in milliseconds since 1970."""

    def __init__(
        self,
        settings: DeployerSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        metrics: Metrics,
        health: Health,
        notifier: Notifier,
        models: Models,
        verifier: Verifier,
        clock: Clock = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings, self._broker, self._applications = settings, broker, applications
        self._metrics, self._notifier, self._clock = metrics, notifier, clock
        self._models, self._verifier = models, verifier
        self._loop = health.loop("evaluations", limit=120.0)
        health.check("leader", lambda: None if self.leads else "another deployer leads, or Kafka is away")
        self._poll_ms = max(1, round(settings.poll.total_seconds() * 1000))
        self._asked: SimpleQueue[_Asked] = SimpleQueue()
        self._waiting: list[_Asked] = []
        """Commands that wait for an artefact to be verified."""
        self._listener = Changes()
        self._stopping = False
        self._consumer: Any = None
        self._ledger: Ledger | None = None
        self._reader: RewardReader | None = None
        self._positions: dict[Any, int] = {}
        self._moved: float | None = None
        self.office: Office | None = None
        """Books and what is done with them, while this process leads."""
        self.leads = False

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping:
            try:
                self._consumer = self._join()
                self._serve()
            except (KafkaError, LedgerBroken) as error:
                log.warning("Kafka: %s; trying again", error)
            finally:
                self._let_go()
            self._refuse_asked()
            if not self._stopping:
                time.sleep(RETRY_S)

    def stop(self) -> None:
        """Ask `run` to return; from any thread."""
        self._stopping = True

    def ask(self, command: Command) -> "Future[Change]":
        """Have a command done, from any thread; the result comes once it is in the log.

        Until then the future may fail with NotLeading, StillVerifying, KafkaError or LedgerBroken.
        """
        done: Future[Change] = Future()
        patience = self._settings.patience
        if command.verb == "promote":  # the answer has to come before the one who asked has gone
            patience = self._settings.kafka_limit * ANSWER_SHARE
        self._asked.put(_Asked(command, done, time.monotonic() + patience.total_seconds()))
        return done

    def verifying(self, book: Book) -> list[Progress]:
        """How far the verification of an application's artefacts has come, of those under way."""
        return [each for each in self._verifier.progress.values() if book.knows(each.policy)]

    def _join(self) -> Any:
        return KafkaConsumer(
            **self._broker.kafka_python(),
            group_id=self._broker.group(GROUP),
            group_instance_id=self._settings.instance or None,
            session_timeout_ms=SESSION_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            # Both topics have one partition: by range, the first member has both.
            partition_assignment_strategy=[RangePartitionAssignor],
        )

    def _serve(self) -> None:
        topics = self._broker.topics([EVALUATIONS, EVENTS])
        self._listener = Changes()
        join(self._consumer, topics, self._listener)
        while not self._stopping:
            busy = self._reader is not None and self._reader.busy
            polled = poll(self._consumer, 0 if busy else self._poll_ms)
            self._loop.beat()
            if self._listener.changed():
                self._leave()
                if len(self._consumer.assignment()) == 2:
                    self._take_over()
                    continue  # what was polled before is read again, from the committed positions
            if not self.leads:
                self._refuse_asked()
                continue
            for where, records in polled.items():
                for record in records:
                    self._read(where, record)
            self._watch()
            self._obey()
            self._commit_moved()

    def _take_over(self) -> None:
        """Fence whoever led before, and go on from what the log says."""
        self._ledger = Ledger(self._broker, GROUP)
        for where in self._consumer.assignment():
            position = self._consumer.committed(where)
            if position is None:
                position = self._consumer.beginning_offsets([where])[where]
            self._consumer.seek(where, position)
        self._positions, self._moved = {}, None
        self._reader = RewardReader(self._broker, self._metrics)
        books = read_books(self._broker)
        self.office = Office(
            *(self._settings, self._applications, books, self._reader),
            *(self._models, self._verifier, self._metrics),
        )
        self.leads = True
        log.info("leading, with the rollouts of %d applications", len(books))

    def _leave(self) -> None:
        self.leads = False
        self.office = None
        self._models.want({})
        for each in (self._ledger, self._reader):
            if each is not None:
                with suppress(KafkaError):
                    each.close()
        self._ledger = self._reader = None

    def _let_go(self) -> None:
        self._leave()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError):
                consumer.close()

    def _read(self, where: Any, record: Any) -> None:
        assert self.office is not None
        evaluations = where.topic == self._broker.topic(EVALUATIONS)
        name = EVALUATIONS if evaluations else EVENTS
        self._metrics.records_in.labels(name).inc()
        self._positions[where] = record.offset + 1
        self._moved = self._moved or time.monotonic()
        now = self._clock()
        try:
            if evaluations:
                changes = self.office.evaluated(read_evaluation(record.value), now)
            else:
                changes = self.office.happened(read_event(record.value), now)
        except WireError as error:
            assert self._ledger is not None
            dead = unreadable(self._broker, self._ledger, name, record, error)
            self._ledger.write([dead], self._positions, self._consumer.group_metadata())
            self._metrics.records_dead.labels(name, error.reason).inc()
            self._moved = None
            return
        self._write(changes, now)

    def _watch(self) -> None:
        assert self.office is not None
        assert self._reader is not None
        if self._reader.busy:
            self._reader.poll(self._poll_ms, self._clock())
        now = self._clock()
        for change in self.office.observed(now):
            self._write(change, now)
        for change in self.office.verified(now):
            self._write(change, now)
        for change in self.office.stood(now):
            self._write(change, now)

    def _obey(self) -> None:
        while (asked := self._next_asked()) is not None:
            self._waiting.append(asked)
        for asked in list(self._waiting):
            self._waiting.remove(asked)
            try:
                self._try(asked)
            except Exception as error:
                asked.done.set_exception(error)
                raise

    def _try(self, asked: _Asked) -> None:
        """Do it; if it depends on an artefact, once that is verified or its time is over."""
        assert self.office is not None
        now = self._clock()
        try:
            self._take_verdict(asked)
            change = self.office.commanded(asked.command, now, asked.known)
        except Unverified as unverified:
            if asked.awaits is None:
                asked.awaits = unverified.deployed, self._verifier.ask(unverified.deployed)
            self._waiting.append(asked)
        except StillVerifying as error:
            asked.done.set_exception(error)
        else:
            self._write(change, now)
            asked.done.set_result(change)
            if asked.doubtful and not change.refused:
                self.office.doubt(asked.command.application)

    def _take_verdict(self, asked: _Asked) -> None:
        if asked.awaits is None:
            return
        deployed, verdict = asked.awaits
        if verdict.done():
            asked.known[deployed], asked.awaits = verdict.result(), None
        elif time.monotonic() > asked.until:
            if asked.command.verb == "promote":
                raise StillVerifying(self._still(deployed))
            asked.known[deployed], asked.awaits, asked.doubtful = Checked(), None, True

    def _still(self, deployed: Deployed) -> str:
        progress = self._verifier.progress.get(deployed)
        why = f" ({progress.problem})" if progress and progress.problem else ""
        return f"the artefact of {deployed.policy} is still being verified{why}: ask again"

    def _write(self, change: Change | None, now: int) -> None:
        """One transaction: the record that is obeyed, its audit, the stage's evaluation, the positions."""
        assert self.office is not None
        assert self._ledger is not None
        if change is None:
            return
        made = self.office.made(change, now)
        if made is None:
            return
        self._ledger.write(outgoing(made), self._positions, self._consumer.group_metadata())
        self._moved = None
        self.office.keep(made, now)
        for event in made.events:
            self._metrics.records_out.labels(EVENTS).inc()
            self._notifier.tell(event)

    def _commit_moved(self) -> None:
        if self._moved is not None and time.monotonic() - self._moved > COMMIT_S:
            assert self._ledger is not None
            self._ledger.write([], self._positions, self._consumer.group_metadata())
            self._moved = None

    def _next_asked(self) -> _Asked | None:
        with suppress(Empty):
            while True:
                asked = self._asked.get_nowait()
                if asked.done.set_running_or_notify_cancel():
                    return asked
        return None

    def _refuse_asked(self) -> None:
        while (asked := self._next_asked()) is not None:
            self._waiting.append(asked)
        for asked in self._waiting:
            asked.done.set_exception(NotLeading("another deployer leads, or Kafka is away"))
        self._waiting.clear()
