"""All that a deployer knows of one application, as a value and as the JSON in `deployments.state`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from pydantic import TypeAdapter

from shared.core.rollout.arms import Mean
from shared.core.rollout.facts import State
from shared.wire.rollouts import Deployed, Evaluation

REMEMBERED = 100
"""Candidates that do not decide, earlier stable versions, and ids: what is older is in the topics alone."""
BLACKLISTED = 1_000
"""Entries of the blacklist, the newest; a record has to hold them all."""
KILLS = 1_000
"""Pulled kill switches that are known when they are read again: nobody pulls one as often."""
REASON = 300
"""Characters of a reason that are kept; the audit has all of them."""


@dataclass(frozen=True)
class Prediction:
    """What an evaluation said of one metric; numbers that are not finite are left out."""

    metric: str
    estimator: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Due:
    """What let a candidate in, as the audit tells it once the artefact is verified."""

    cause: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Entry:
    """A candidate, and what evaluations say of it."""

    deployed: Deployed
    evaluation_id: str
    """The one that let it in, or the newest."""
    verdict: str
    """Of the newest evaluation."""
    decisions: int
    detail: str = ""
    """The newest evaluation's first reason."""
    waits: bool = False
    """Passed, and waits for somebody to promote it."""
    submitted: bool = False
    """Rolled out once, by itself or by somebody: later passes change nothing."""
    predictions: tuple[Prediction, ...] = ()
    due: Due | None = None
    """Passed, and is rolled out as soon as its artefact is verified."""


@dataclass(frozen=True)
class Watch:
    """The stage under way: what its cohorts are made of."""

    salt: str
    policy: str
    stable: str
    stage: int
    since: int
    """Milliseconds: decisions of the stage are made no earlier."""
    offsets: Mapping[int, int]
    """Per partition of rewards: the first that may be of the stage."""
    held: tuple[str, ...] = ()
    """Reasons that were audited."""
    record: tuple[Mean | None, ...] = ()
    """Means that stable had in the last stage with two arms, a guard each."""


@dataclass(frozen=True)
class Standing:
    """The window of time under way in which the stable policy is compared with what it earned at first."""

    policy: str
    since: int
    """Milliseconds: decisions of the window are made no earlier."""
    offsets: Mapping[int, int]
    """Per partition of rewards: the first that may be of the window."""
    number: int = 0
    """Windows before this one."""
    reference: Mean | None = None
    """What it earned in the first window; None while that is under way."""
    worse: bool = False
    """This window is worse for sure."""
    degraded: bool = False
    """People were told so, and no window has passed since that was not."""


@dataclass(frozen=True)
class Book:
    """One application's rollouts."""

    application: str
    state: State
    entries: Mapping[str, Entry] = field(default_factory=dict)
    watch: Watch | None = None
    seen: tuple[str, ...] = ()
    """Ids of evaluations that had an effect."""
    kills: tuple[str, ...] = ()
    """Ids of pulled kill switches."""
    at: int = 0
    """Milliseconds of the last change: time never falls, whatever clock a successor has."""
    standing: Standing | None = None
    """Where people want to be told when what is stable degrades."""

    def deployed(self, policy: str) -> Deployed:
        """Where a policy lies; the online policy is nowhere."""
        entry = self.entries.get(policy)
        return entry.deployed if entry else Deployed(policy)

    def knows(self, policy: str) -> bool:
        """Whether a policy was ever heard of."""
        known = {self.state.base, self.state.stable, *self.state.history, *self.entries}
        return policy in known or any(each.policy == policy for each in self.state.blocked)

    def live(self, policy: str) -> bool:
        """Whether a policy decides, or waits for its turn."""
        running = self.state.rollout and self.state.rollout.policy
        return policy in (self.state.stable, running, *self.state.queue)

    def pruned(self) -> "Book":
        """Without what was over long ago."""
        blocked = [each for each in self.state.blocked if each.until is None or each.until * 1000 > self.at]
        state = replace(
            self.state,
            history=self.state.history[-REMEMBERED:],
            blocked=tuple(replace(each, reason=each.reason[:REASON]) for each in blocked[-BLACKLISTED:]),
        )
        over = [name for name in self.entries if not self.live(name) and name not in state.history]
        gone = set(over[:-REMEMBERED])
        entries = {name: entry for name, entry in self.entries.items() if name not in gone}
        return replace(
            self, state=state, entries=entries, seen=self.seen[-REMEMBERED:], kills=self.kills[-KILLS:]
        )


_ADAPTER = TypeAdapter(Book)


def document(book: Book) -> dict[str, Any]:
    """As JSON has it."""
    found: dict[str, Any] = _ADAPTER.dump_python(book, mode="json")
    return found


def read(found: Mapping[str, Any]) -> Book:
    """The book of a document. Raises pydantic.ValidationError."""
    return _ADAPTER.validate_python(found)


def rebased(book: Book, base: str) -> Book:
    """With the application's present online policy as the base."""
    state = book.state
    if state.base == base:
        return book
    stable = base if state.stable == state.base else state.stable
    history = tuple(base if each == state.base else each for each in state.history)
    return replace(book, state=replace(state, base=base, stable=stable, history=history))


def entry_of(evaluation: Evaluation, before: Entry | None) -> Entry:
    """What is known of a candidate after one more evaluation."""
    first = before is None or not (before.submitted or before.waits)
    predictions = tuple(
        Prediction(each.name, each.estimator, *map(_finite, (each.value, each.low, each.high)))
        for each in evaluation.metrics
    )
    reason = evaluation.reasons[0].detail if evaluation.reasons else ""
    newest = Entry(
        deployed=Deployed(
            evaluation.candidate_id, evaluation.algorithm, evaluation.artefact, evaluation.manifest_sha256
        ),
        evaluation_id=evaluation.evaluation_id,
        verdict=evaluation.verdict,
        decisions=evaluation.decisions,
        detail=reason[:REASON],
        predictions=predictions,
    )
    if first or before is None:
        return newest
    return replace(before, verdict=newest.verdict, decisions=newest.decisions, detail=newest.detail)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
