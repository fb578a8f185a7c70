"""A request to a plan: which algorithm, with which hyper-parameters, on which rewards."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.trainer.samples import Samples
from shared.algorithms.contract import NotTrainable
from shared.algorithms.parameters import ParameterError, chosen, to_document
from shared.algorithms.registry import for_application
from shared.applications.contract import Application
from shared.applications.settings import Counted
from shared.archive.archive import Archive
from shared.archive.reading import NotArchived, archived, parts_of
from shared.wire.training import Candidate, Span, Trigger

DAY_MS = timedelta(days=1) // timedelta(milliseconds=1)
MOST_DAYS = 36_500.0


class Refused(ValueError):
    """A request that cannot be met, whoever tries; the message names the field or says what is missing."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field, self.message = field, message


@dataclass(frozen=True)
class Plan:
    """What to train; `parameters` are complete, `days` None means all that is archived."""

    algorithm: str
    parameters: Mapping[str, Any]
    seed: int
    days: float | None
    incremental: bool
    buffer: int | None = None
    """Of the newest samples; None: all of them."""
    counted: Counted = "rewards"


@dataclass(frozen=True)
class Data:
    """Which rewards: ranges, and of them only decisions from a time on. `previous` is what to go on from."""

    spans: tuple[Span, ...]
    decided_from: int = 0
    previous: Candidate | None = None


def plan(trigger: Trigger, applications: Mapping[str, Application]) -> Plan:
    """What the request and the application's settings amount to. Raises Refused."""
    if trigger.application not in applications:
        raise Refused("application", f"{trigger.application!r:.100} is not one of {', '.join(applications)}")
    training = applications[trigger.application].settings.training
    if trigger.days is not None and not (math.isfinite(trigger.days) and 0 < trigger.days <= MOST_DAYS):
        raise Refused("days", f"{trigger.days} is not in (0, {MOST_DAYS:g}]")
    same = trigger.algorithm in (None, training.algorithm)
    preset = trigger.preset or (training.preset if same else "default")
    try:
        algorithm = for_application(trigger.application, trigger.algorithm or training.algorithm)
    except NotTrainable as error:
        raise Refused("", str(error)) from error
    declared = algorithm.declaration
    try:
        overrides = (training.parameters if same else {}, trigger.parameters)
        parameters = to_document(chosen(declared.Parameters, declared.PRESETS, preset, *overrides))
    except ParameterError as error:
        raise Refused("", f"parameters: {error}") from error
    buffer = training.buffer if same and not trigger.data else None
    window = None if training.window is None else training.window / timedelta(days=1)
    return Plan(
        algorithm=algorithm.name,
        parameters=parameters,
        seed=seed_of(trigger.request_id) if trigger.seed is None else trigger.seed,
        days=window if trigger.days is None else trigger.days,
        # A buffer belongs to the one algorithm that goes on from it; others train on everything, anew.
        incremental=training.incremental and (same or training.buffer is None),
        buffer=buffer,
        counted=training.counted,
    )


def seed_of(request_id: str) -> int:
    """A seed in [0, 2^31) that the request alone decides."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:4], "big") >> 1


def choose_data(trigger: Trigger, made: Plan, archive: Archive, last: Candidate | None) -> Data:
    """Which rewards to train on now; `last` is the application's and algorithm's last trained candidate.

    Raises Refused if there are none.
    """
    decided_from = 0 if made.days is None else max(0, trigger.requested_at - round(made.days * DAY_MS))
    if made.buffer is not None:
        parts = archive.parts(trigger.application)
        decided_from = max(decided_from, Samples(archive, made.counted).newest(parts, made.buffer).since)
    spans = trigger.data or archived(archive, trigger.application, decided_from)
    previous = last if made.incremental and not trigger.data else None
    if previous is not None and made.buffer is None:
        spans = tuple(_unseen(spans, previous.lineage))
    try:
        parts = parts_of(archive, trigger.application, spans, decided_from)
    except NotArchived as error:
        raise Refused("data", str(error)) from error
    if not parts:
        what = "no rewards that the last candidate has not seen" if previous else "no rewards"
        since = f" of decisions since {made.days:g} days" if made.days else ""
        raise Refused("", f"{what} of {trigger.application} are archived{since}")
    return Data(spans, decided_from, previous)


def _unseen(spans: Iterable[Span], seen: Iterable[Span]) -> Iterable[Span]:
    ends: dict[int, int] = {}
    for span in seen:
        ends[span.partition] = max(span.next, ends.get(span.partition, 0))
    for span in spans:
        first = max(span.first, ends.get(span.partition, 0))
        if first < span.next:
            yield Span(span.partition, first, span.next)
