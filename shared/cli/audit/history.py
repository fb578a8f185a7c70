"""What the log says of rollouts: which policies were given to whom, and where their artefacts lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from shared.cli.audit.rollouts import ENDS, moves
from shared.cli.topic_log import Log
from shared.core.rollout.assignment import rollout_id
from shared.core.rollout.verify import Arrangement
from shared.wire.codec import WireError
from shared.wire.rollouts import Deployed, Deployment, DeploymentEvent, read_deployment, read_evaluation
from shared.wire.training import read_candidate

T = TypeVar("T")


@dataclass
class History:
    """Of all applications."""

    arrangements: dict[str, list[Arrangement]] = field(default_factory=dict)
    """By application."""
    artefacts: dict[str, Deployed] = field(default_factory=dict)
    """Of trained policies, by their name in decisions."""


def read_history(log: Log) -> History:
    """Read all topics that tell of it. `deployments` is compacted: its past is in `deployment-events`.

    Records that cannot be read say nothing. Raises KafkaError.
    """
    found = History()
    for candidate in _read(log, "candidates", read_candidate):
        _lies(
            found,
            Deployed(
                candidate.candidate_id, candidate.algorithm, candidate.artefact, candidate.manifest_sha256
            ),
        )
    for each in _read(log, "evaluations", read_evaluation):
        _lies(found, Deployed(each.candidate_id, each.algorithm, each.artefact, each.manifest_sha256))
    for deployment in _read(log, "deployments", read_deployment):
        _ordered(found, deployment)
    for application, events in moves(log).items():
        found.arrangements.setdefault(application, []).extend(_arrangements(application, events))
    return found


def _ordered(found: History, deployment: Deployment) -> None:
    _lies(found, deployment.stable)
    if (canary := deployment.canary) is None:
        return
    _lies(found, canary)
    if deployment.share:
        arrangement = Arrangement(
            deployment.at, deployment.salt, deployment.share, deployment.stable.policy, canary.policy
        )
        found.arrangements.setdefault(deployment.application, []).append(arrangement)


def _arrangements(application: str, events: Iterable[DeploymentEvent]) -> Iterator[Arrangement]:
    salt = running = ""
    for event in events:
        if event.what == "started":
            salt, running = rollout_id(application, event.sequence), event.policy
        elif event.what in ENDS and event.policy == running:
            running = ""
        if running and event.share:
            yield Arrangement(event.at, salt, event.share, event.stable, running)


def _lies(found: History, deployed: Deployed) -> None:
    if deployed.artefact:
        found.artefacts[deployed.policy] = deployed


def _read(log: Log, topic: str, read: Callable[[bytes | None], T]) -> Iterator[T]:
    for partition in log.partitions(topic):
        for records in log.read(topic, partition):
            for value in records.values:
                try:
                    yield read(value)
                except WireError:
                    continue  # whoever reads the topic has put it into the dead letters
