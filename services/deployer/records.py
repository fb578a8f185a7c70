"""What the deployer reads back from its topics, and the records of one transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from services.deployer.book import Book, read
from shared.broker import dead_letters
from shared.broker.ledger import Ledger, Outgoing, read_all
from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.wire.codec import WireError
from shared.wire.rollouts import Deployment, DeploymentEvent, Evaluation, read_deployment, read_event

EVALUATIONS, DEPLOYMENTS, EVENTS = "evaluations", "deployments", "deployment-events"
DEAD_LETTERS = "dead-letters"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """A change as it goes into the log."""

    book: Book
    deployment: Deployment | None
    events: Sequence[DeploymentEvent] = ()
    evaluation: Evaluation | None = None


def outgoing(made: Made) -> list[Outgoing]:
    """Its records. Raises WireError."""
    key = made.book.application.encode()
    found = [Outgoing(EVENTS, key, event.encode()) for event in made.events]
    if made.deployment is not None:
        found.append(Outgoing(DEPLOYMENTS, key, made.deployment.encode()))
    if made.evaluation is not None:
        found.append(Outgoing(EVALUATIONS, key, made.evaluation.encode()))
    return found


def read_books(broker: BrokerSettings) -> dict[str, Book]:
    """What the last record of each application says. Raises kafka.errors.KafkaError."""
    books = {}
    for record in read_all(broker, DEPLOYMENTS):
        try:
            deployment = read_deployment(record.value)
            if deployment.state:
                books[deployment.application] = read(deployment.state)
        except (WireError, ValidationError) as error:
            log.warning("offset %d of deployments: %s", record.offset, error)
    return books


def read_events(broker: BrokerSettings, application: str, most: int) -> list[DeploymentEvent]:
    """The newest lines of an application's audit, each once, in log order. Raises kafka.errors.KafkaError."""
    found: dict[str, DeploymentEvent] = {}
    for record in read_all(broker, EVENTS):
        if record.key != application.encode():
            continue
        try:
            event = read_event(record.value)
        except WireError:
            continue  # the leader has put it into the dead letters
        found.setdefault(event.event_id, event)
    return list(found.values())[-most:]


def unreadable(broker: BrokerSettings, ledger: Ledger, topic: str, record: Any, error: WireError) -> Outgoing:
    """A record's bytes on their way to the dead letters."""
    headers = dead_letters.headers(
        topic=broker.topic(topic),
        partition=record.partition,
        offset=record.offset,
        reason=error.reason,
        message=str(error),
        stage="deployer",
    )
    partition = partition_for(record.key or b"", ledger.partitions(DEAD_LETTERS))
    return Outgoing(DEAD_LETTERS, record.key, record.value, headers, partition)
