"""Topics of one partition, read from their first record on, as what is known of candidates."""

import logging
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from services.evaluator.handlers import Standing
from shared.broker.settings import BrokerSettings
from shared.telemetry.metrics import Metrics
from shared.wire.codec import WireError
from shared.wire.rollouts import read_deployment, read_evaluation
from shared.wire.training import read_candidate

CANDIDATES, EVALUATIONS, DEPLOYMENTS = "candidates", "evaluations", "deployments"
POLL_MS = 200
log = logging.getLogger(__name__)


class Follower:
    """Brings a `Standing` up to date. Raises kafka.errors.KafkaError."""

    def __init__(self, broker: BrokerSettings, standing: Standing, metrics: Metrics) -> None:
        self._metrics = metrics
        self._learn = {
            broker.topic(CANDIDATES): lambda raw: standing.learn_candidate(read_candidate(raw)),
            broker.topic(EVALUATIONS): lambda raw: standing.learn_evaluation(read_evaluation(raw)),
            broker.topic(DEPLOYMENTS): lambda raw: standing.learn_deployment(read_deployment(raw)),
        }
        self._names = {broker.topic(name): name for name in (CANDIDATES, EVALUATIONS, DEPLOYMENTS)}
        self._places = [TopicPartition(topic, 0) for topic in self._learn]
        self._consumer: Any = KafkaConsumer(
            **broker.kafka_python(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        self._consumer.assign(self._places)
        self._consumer.seek_to_beginning(*self._places)

    def catch_up(self) -> None:
        """Learn all that there is now."""
        ends = self._consumer.end_offsets(self._places)
        while any(self._consumer.position(where) < ends[where] for where in self._places):
            self.poll(POLL_MS)

    def poll(self, timeout_ms: int = 0) -> bool:
        """Learn what has come; whether there was anything."""
        polled = self._consumer.poll(timeout_ms=timeout_ms)
        for records in polled.values():
            for record in records:
                self._take(record)
        return bool(polled)

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def _take(self, record: Any) -> None:
        try:
            self._learn[record.topic](record.value)
        except WireError as error:
            # Whoever consumes the topic as its work puts it into the dead letters.
            self._metrics.records_filtered.labels(self._names[record.topic], error.reason).inc()
            log.warning("offset %d of %s: %s", record.offset, record.topic, error)
