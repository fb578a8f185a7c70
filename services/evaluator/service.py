"""The evaluator's loop: who has the candidates leads, all others stand by. One thread owns all of it."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from services.evaluator.artefacts import FETCHES
from services.evaluator.following import CANDIDATES, Follower
from services.evaluator.handlers import Standing
from services.evaluator.leading import GROUP, Lead
from services.evaluator.pages import Pages
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.turns import MOST
from shared.applications.contract import Application
from shared.broker.ledger import Changes, LedgerBroken, join, poll
from shared.broker.settings import BrokerSettings
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics

POLL_MS = 100
SESSION_MS = 10_000
"""After so long without a sign of life, the candidates go to another evaluator."""
RETRY_S = 1.0
"""After Kafka could not be reached."""
log = logging.getLogger(__name__)

Clock = Callable[[], int]


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
            lambda: None if self._lead else "another evaluator has the candidates, or Kafka is away",
        )
        self._threads = ThreadPoolExecutor(FETCHES, "evaluating")
        self._stopping = False
        self._listener = Changes()
        self._consumer: Any = None
        self._lead: Lead | None = None
        self._follower: Follower | None = None
        self.standing = Standing(applications, settings.tuned_at)
        """What is known, replaced as a whole when candidates change hands."""

    def run(self) -> None:
        """Work until `stop`. What is under way then is done again by who takes over."""
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
        self._threads.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Ask `run` to return; from any thread."""
        self._stopping = True

    def _member(self) -> Any:
        return KafkaConsumer(
            **self._broker.kafka_python(),
            group_id=self._broker.group(GROUP),
            group_instance_id=self._settings.instance,
            session_timeout_ms=SESSION_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=MOST,
        )

    def _serve(self) -> None:
        self._listener = Changes()
        join(self._consumer, [self._broker.topic(CANDIDATES)], self._listener)
        while not self._stopping:
            polled = poll(self._consumer, POLL_MS)
            self._loop.beat()
            records = [record for found in polled.values() for record in found]
            if self._listener.changed():
                self._leave()
                if self._consumer.assignment():
                    self._take_over()
                    records = []  # read again, from where the log says
                else:
                    self._stand_by()
            if self._lead is not None:
                self._lead.step(records)
            elif self._follower is not None:
                self._follower.poll()

    def _take_over(self) -> None:
        self._lead = Lead(
            self._settings,
            self._broker,
            self._applications,
            self._pages,
            self._metrics,
            self._clock,
            self._threads,
            self._consumer,
        )
        self.standing = self._lead.standing

    def _stand_by(self) -> None:
        """Learn what others say, so that whoever asks here is answered."""
        self.standing = Standing(self._applications, self._settings.tuned_at)
        self._follower = Follower(self._broker, self.standing, self._metrics)

    def _leave(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            with suppress(KafkaError):
                follower.close()
        lead, self._lead = self._lead, None
        if lead is not None:
            lead.close()

    def _let_go(self) -> None:
        self._leave()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError):
                consumer.close()
