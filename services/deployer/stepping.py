"""One event through the state machine: the book afterwards, its audit, and the record that is obeyed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from services.deployer.book import Book, Entry, Watch, document
from shared.core.rollout.assignment import rollout_id
from shared.core.rollout.degradation import Tolerated
from shared.core.rollout.facts import Event, Outcome, Submit
from shared.core.rollout.machine import step
from shared.core.rollout.settings import RolloutSettings
from shared.wire.rollouts import Deployed, Deployment, DeploymentEvent

Offsets = Callable[[], Mapping[int, int]]
Broken = Callable[[Deployed], str | None]
"""Why an artefact cannot be used, None if it can. Raises Unverified while nobody knows."""
ENDS = ("stable", "rolled-back", "aborted", "superseded", "expired")
"""What a rollout can come to."""
QUEUED = 50
"""Candidates that wait for their turn; more are refused."""


class Unverified(Exception):
    """The artefact that this depends on is still being verified."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__(f"the artefact of {deployed.policy} is being verified")
        self.deployed = deployed


@dataclass(frozen=True)
class Rules:
    """What an application's settings say, and what handlers ask the world for."""

    settings: RolloutSettings
    automatic: bool
    ends: Offsets
    """Where `rewards` end now."""
    broken: Broken
    arms: tuple[str, ...] = ()
    """Actions whose statistics the online policy keeps apart; none where actions bring features."""
    tolerated: Tolerated | None = None
    """How far the reward of what is stable may fall before people are told; None: they never are."""


@dataclass(frozen=True)
class Because:
    """Why and by whom, for the audit."""

    cause: str
    by: str
    at: int
    """Milliseconds."""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What came of a fact."""

    book: Book
    events: tuple[DeploymentEvent, ...] = ()
    refused: str | None = None
    unknown: bool = False
    """Whether it was refused since nobody knows the policy."""
    ended: Watch | None = None
    """The stage that is over."""

    def then(self, following: "Change") -> "Change":
        """Both, one after the other."""
        return replace(
            following, events=(*self.events, *following.events), ended=self.ended or following.ended
        )


def advance(book: Book, event: Event, because: Because, rules: Rules) -> Change:
    """Take an event through the state machine."""
    now = max(because.at, book.at)
    outcome = step(book.state, event, now / 1000, rules.settings, because.cause)
    if outcome.refused is not None:
        return Change(book, refused=outcome.refused)
    after = replace(book, state=outcome.state, at=now if outcome.transitions else book.at)
    started = [each.sequence for each in outcome.transitions if each.what == "started"]
    after = replace(after, watch=_watch(book, after, started[-1] if started else None, now, rules))
    events = tuple(
        DeploymentEvent(
            event_id=f"{book.application}-{each.sequence}",
            application=book.application,
            sequence=each.sequence,
            what=each.what,
            policy=each.policy,
            stable=each.stable,
            share=each.share,
            stage=stage,
            cause=each.cause,
            by=because.by,
            at=now,
            numbers=because.numbers,
        )
        for each, stage in zip(outcome.transitions, _stages(book, outcome, rules), strict=True)
    )
    ended = book.watch if book.watch is not None and over(book.watch, after.watch) else None
    return Change(after, events, ended=ended)


def submit(book: Book, policy: str, because: Because, rules: Rules) -> Change:
    """Let a candidate in whose artefact can be verified."""
    if len(book.state.queue) >= QUEUED:
        return Change(book, refused=f"{QUEUED} candidates wait for their turn already")
    if problem := rules.broken(book.deployed(policy)):
        return Change(book, refused=f"the artefact of {policy} cannot be used: {problem}")
    entry = book.entries[policy]
    found = advance(book, Submit(policy), because, rules)
    if found.refused:
        return found
    let_in = replace(entry, waits=False, due=None, submitted=True)
    return replace(found, book=with_entry(found.book, policy, let_in))


def over(watch: Watch, after: Watch | None) -> bool:
    """Whether a stage is over: another one, or another stable policy, or none, is watched afterwards."""
    return after is None or (after.salt, after.stage, after.stable) != (watch.salt, watch.stage, watch.stable)


def deployment(book: Book, now: int, rules: Rules) -> Deployment:
    """The record that decision APIs obey, and a successor goes on from."""
    state, watch = book.state, book.watch
    rollout = state.rollout
    return Deployment(
        application=book.application,
        sequence=state.sequence,
        at=max(now, book.at),
        stable=book.deployed(state.stable),
        canary=book.deployed(rollout.policy) if rollout else None,
        share=state.share(rules.settings),
        stage=_stage(book, rules),
        salt=watch.salt if rollout and watch else "",
        blocked=tuple(each.policy for each in state.blocked if state.blocks(each.policy, now / 1000)),
        state=document(book),
    )


def aside(book: Book, name: str, what: str, policy: str, because: Because, rules: Rules) -> DeploymentEvent:
    """A line of the audit that is no transition."""
    return DeploymentEvent(
        event_id=f"{book.application}-{name}",
        application=book.application,
        sequence=book.state.sequence,
        what=what,
        policy=policy,
        stable=book.state.stable,
        share=book.state.share(rules.settings),
        stage=_stage(book, rules),
        cause=because.cause,
        by=because.by,
        at=max(because.at, book.at),
        numbers=because.numbers,
    )


def refusal(
    book: Book, name: str, policy: str, change: Change, because: Because, rules: Rules
) -> DeploymentEvent:
    """A line of the audit about what was asked for without effect."""
    event = aside(book, f"refused-{name}", "refused", policy, because, rules)
    return replace(event, cause=f"{change.refused} ({because.cause})")


def with_entry(book: Book, policy: str, entry: Entry) -> Book:
    """With other words about a candidate."""
    return replace(book, entries={**book.entries, policy: entry})


def _watch(book: Book, after: Book, started: int | None, now: int, rules: Rules) -> Watch | None:
    rollout, before = after.state.rollout, book.watch
    if rollout is None:
        return None
    if started is None and before is not None:
        if (before.stage, before.stable) == (rollout.stage, after.state.stable):
            return before
        kept = before.record if before.stable == after.state.stable else ()
        salt = before.salt
    else:
        salt, kept = rollout_id(book.application, started or 0), ()
    return Watch(salt, rollout.policy, after.state.stable, rollout.stage, now, rules.ends(), record=kept)


def _stages(book: Book, outcome: Outcome, rules: Rules) -> Iterator[str]:
    """The rollout's stage after each transition."""
    place = book.state.rollout.stage if book.state.rollout else None
    for each in outcome.transitions:
        if each.what in (*ENDS, "started"):
            place = 0 if each.what == "started" else None
        elif each.what == "advanced" and place is not None:
            place += 1
        yield "" if place is None else rules.settings.stages[place].name


def _stage(book: Book, rules: Rules) -> str:
    rollout = book.state.rollout
    return rules.settings.stages[rollout.stage].name if rollout else ""
