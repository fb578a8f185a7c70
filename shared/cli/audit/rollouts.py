"""The promises about rollouts, held against the topics by brute force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from shared.broker.settings import BrokerSettings
from shared.cli.audit.findings import HOLDS
from shared.cli.topic_log import Log, open_log
from shared.wire.codec import WireError, decode
from shared.wire.rollouts import DeploymentEvent, read_event
from shared.wire.schemas import schema

ASIDE = {"held", "refused", "killed", "revived", "reset", "degraded", "recovered"}
"""Events that change nothing of what is deployed."""
ENDS = {"aborted", "superseded", "expired", "rolled-back", "stable"}
LATEST_MS = 2_000
"""How long after the end of a rollout a decision may still be the canary's."""


def check_rollouts(settings: BrokerSettings, application: str, shares: Sequence[float]) -> dict[str, str]:
    """I7 and I8 of one application, whose stages have these shares: "holds", or what broke it.

    Raises KafkaError, WireError.
    """
    with open_log(settings) as log:
        moved = moves(log).get(application, [])
        canaries = list(_canaries(log, application))
    return {"I7": skipped(moved, shares) or HOLDS, "I8": lingering(moved, canaries) or HOLDS}


def moves(log: Log) -> dict[str, list[DeploymentEvent]]:
    """Every application's transitions, each once, in log order."""
    found: dict[str, dict[str, DeploymentEvent]] = {}
    for records in log.read("deployment-events", 0):
        for value in records.values:
            try:
                event = read_event(value)
            except WireError:
                continue  # the deployer has put it into the dead letters
            if event.what not in ASIDE:
                found.setdefault(event.application, {}).setdefault(event.event_id, event)
    return {application: list(events.values()) for application, events in found.items()}


def skipped(moves: Iterable[DeploymentEvent], shares: Sequence[float]) -> str | None:
    """What is wrong with the order of an application's transitions: gaps, two rollouts, skipped stages."""
    running, stage = "", -1
    for number, event in enumerate(moves, 1):
        name = f"transition {event.sequence} ({event.what})"
        if event.sequence != number:
            return f"{name} stands where {number} is due"
        if event.what == "started":
            if running:
                return f"{name} begins a second rollout"
            running, stage = event.policy, 0
        elif event.what in ENDS | {"advanced"} and event.policy != running:
            return f"{name} is of a policy that is not rolled out"
        elif event.what in ("advanced", "stable"):
            stage += 1
            if (event.what == "stable") != (stage == len(shares)):
                return f"{name} after stage {stage} of {len(shares)}"
        if event.what in ENDS:
            running, stage = "", -1
        share = shares[stage] if running else 0.0
        if event.share != share:
            return f"{name} gives {event.share:g} of subjects the canary; the stage's share is {share:g}"
    return None


def lingering(moves: Sequence[DeploymentEvent], canaries: Iterable[tuple[int, str]]) -> str | None:
    """A decision (its time in ms, its policy) of a blacklisted canary long after its rollout ended."""
    ended = {each.policy: each.at for each in moves if each.what == "rolled-back"}
    for at, policy in canaries:
        if policy in ended and at > ended[policy] + LATEST_MS:
            return f"{policy} decided {at - ended[policy]} ms after it was rolled back"
    return None


def _canaries(log: Log, application: str) -> Iterator[tuple[int, str]]:
    for partition in log.partitions("decisions"):
        for records in log.read("decisions", partition):
            for value in records.values:
                decision = decode(schema("decisions"), value)
                if decision["application"] == application and decision["arm"] == "canary":
                    yield decision["decided_at"], decision["policy"]
