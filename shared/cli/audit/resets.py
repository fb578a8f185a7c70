"""Resets of arms: those that were asked for, and what is wrong with those that a learner has done."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.applications.contract import Application
from shared.cli.topic_log import Log
from shared.core.policies.learner import Learner
from shared.core.policies.resets import latest_request
from shared.wire.codec import WireError
from shared.wire.rollouts import read_event


@dataclass
class Requests:
    """What deployment-events tells of; times in ms."""

    asked: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """(application, action) → when its resets were asked for."""
    known_from: int = 0
    """What was asked for earlier is no longer in the topic."""


def read_requests(log: Log) -> Requests:
    """All requests. An event that cannot be read says nothing: the deployer put it into the dead letters."""
    found = Requests()
    first = True
    for records in log.read("deployment-events", 0):
        for offset, value in zip(records.offsets.tolist(), records.values, strict=True):
            try:
                event = read_event(value)
            except WireError:
                continue
            if first and offset > 0:
                found.known_from = event.at
            first = False
            if event.what == "reset" and event.action is not None:
                found.asked.setdefault((event.application, event.action), set()).add(event.at)
    return found


def wrong_resets(application: Application, learner: Learner, requests: Requests, grace_ms: int) -> str | None:
    """What is wrong: a reset that nobody asked for, one done twice, or one left out.

    A learner that knows decisions of `grace_ms` after a request must have followed it, or a later one.
    """
    done = [(each.action, each.asked_ms) for each in learner.resets]
    if len(set(done)) != len(done):
        return "a reset was done twice"
    if application.action_width:
        return None
    latest = max(learner.folded.latest_ms, int(learner.open_rows.times.max(initial=0)))
    for index, name in enumerate(application.actions):
        asked = requests.asked.get((application.name, name), set())
        own = {at for action, at in done if action == index and at >= requests.known_from}
        if own - asked:
            return f"{name} was reset as of {min(own - asked)}, which nobody asked for"
        due = max((at for at in asked if at + grace_ms < latest), default=-1)
        if due > latest_request(learner.resets, index):
            return f"{name} was not reset, which was asked for at {due}"
    return None
