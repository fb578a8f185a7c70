"""What evaluations, guards, commands and kill switches lead to: no clock, no Kafka.

A book, a fact and a time in; the book afterwards, its audit and the stages' evaluations out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from services.deployer.book import Book, Entry, Watch, document, entry_of
from shared.core.rollout.arms import Mean
from shared.core.rollout.facts import (
    Abort,
    Block,
    Event,
    Freeze,
    Health,
    Observe,
    Pause,
    Promote,
    Resume,
    Rollback,
    Submit,
    Thaw,
    Unblock,
)
from shared.core.rollout.guards import Assessment
from shared.core.rollout.machine import step
from shared.core.rollout.settings import RolloutSettings
from shared.wire.rollouts import Deployed, Deployment, DeploymentEvent, Evaluation

Verb = Literal["promote", "abort", "pause", "resume", "rollback", "freeze", "thaw", "block", "unblock"]
Offsets = Callable[[], Mapping[int, int]]
Broken = Callable[[Deployed], str | None]
"""Why an artefact cannot be used, None if it can."""
_PLAIN: Mapping[str, Callable[[], Event]] = {
    "abort": Abort,
    "pause": Pause,
    "resume": Resume,
    "rollback": Rollback,
    "freeze": Freeze,
    "thaw": Thaw,
}


@dataclass(frozen=True)
class Rules:
    """What an application's settings say, and what handlers ask the world for."""

    settings: RolloutSettings
    automatic: bool
    ends: Offsets
    """Where `rewards` end now."""
    broken: Broken


@dataclass(frozen=True)
class Because:
    """Why and by whom, for the audit."""

    cause: str
    by: str
    at: int
    """Milliseconds."""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """What somebody asks for. `id` is the request's own."""

    verb: Verb
    application: str
    id: str
    policy: str = ""
    by: str = ""
    reason: str = ""
    until: float | None = None


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


def evaluated(book: Book, evaluation: Evaluation, now: int, rules: Rules) -> Change:
    """Take an evaluation of kind log or shadow.

    A candidate's first pass lets it in. Later ones tell how it does in shadow; of a candidate whose rollout
    is over, only another on the log lets it in again.
    """
    if evaluation.evaluation_id in book.seen or evaluation.candidate_id == book.state.base:
        return Change(book)
    policy = evaluation.candidate_id
    entry = entry_of(evaluation, book.entries.get(policy))
    others = {name: each for name, each in book.entries.items() if name != policy}
    noted = replace(
        book,
        entries={**others, policy: entry},
        seen=(*book.seen, evaluation.evaluation_id),
        at=max(now, book.at),
    )
    over = entry.submitted and not book.live(policy) and evaluation.kind == "log"
    if entry.verdict != "pass" or entry.waits or (entry.submitted and not over):
        return Change(noted)
    told = f"{evaluation.kind} evaluation {evaluation.evaluation_id} passed"
    because = Because(told, "evaluator", now, _figures(evaluation))
    if not rules.automatic:
        waiting = _with(noted, policy, replace(entry, waits=True))
        event = _aside(waiting, f"waits-{policy}", "held", policy, because, rules)
        return Change(waiting, (replace(event, cause=f"{told}; waits for somebody to promote {policy}"),))
    found = _submit(noted, policy, because, rules)
    if found.refused:
        return Change(found.book, (_refused(found.book, entry.evaluation_id, policy, found, because, rules),))
    return found


def observed(book: Book, seen: Assessment, means: tuple[Mean | None, ...], now: int, rules: Rules) -> Change:
    """Take what guards make of the stage. `means` are stable's now, for the stages without it."""
    rollout, watch = book.state.rollout, book.watch
    if rollout is None or watch is None:
        return Change(book)
    because = Because(seen.cause, "guard", now, seen.numbers)
    baked = now / 1000 - rollout.since >= rules.settings.stages[rollout.stage].bake_s
    if seen.health is Health.UNSURE and seen.reason and baked and seen.reason not in watch.held:
        held = replace(book, watch=replace(watch, held=(*watch.held, seen.reason)), at=max(now, book.at))
        name = f"held-{watch.salt}-{watch.stage}-{seen.reason}"
        return Change(held, (_aside(held, name, "held", rollout.policy, because, rules),))
    event = Observe(rollout.policy, seen.health, seen.samples)
    if not seen.cause:
        because = replace(because, cause="the stage has baked, and guards pass")
    found = _step(book, event, because, rules)
    after = found.book.watch
    if found.events and after is not None and after.salt == watch.salt:
        record = tuple(each if each else old for each, old in zip(means, _padded(watch, means), strict=True))
        found = replace(found, book=replace(found.book, watch=replace(after, record=record)))
    return found if found.events else Change(book)


def killed(book: Book, event: DeploymentEvent, now: int, rules: Rules) -> Change:
    """Somebody has pulled the kill switch of a decision API: the rollout that was under way then ends."""
    rollout = book.state.rollout
    if event.event_id in book.seen or rollout is None or event.at / 1000 < rollout.started:
        return Change(book)
    noted = replace(book, seen=(*book.seen, event.event_id))
    because = Because(f"kill switch: {event.cause}", event.by or "kill-switch", now, event.numbers)
    return _step(noted, Rollback(), because, rules)


def commanded(book: Book, command: Command, now: int, rules: Rules) -> Change:
    """Do what somebody asks for; what means nothing now is refused, with a line in the audit."""
    told = command.reason or f"{command.verb} was asked for"
    because = Because(told, command.by or "http", now)
    found = _obey(book, command, because, rules)
    if found.refused is None:
        return found
    return replace(found, events=(_refused(book, command.id, command.policy, found, because, rules),))


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


def _obey(book: Book, command: Command, because: Because, rules: Rules) -> Change:
    policy, state = command.policy, book.state
    if policy and not book.knows(policy):
        return Change(book, refused=f"there is no policy {policy:.100}", unknown=True)
    if command.verb == "block":
        found = _leaving(book, policy, because, rules)
        return found.then(_step(found.book, Block(policy, because.cause, command.until), because, rules))
    if command.verb == "unblock":
        return _step(book, Unblock(policy), because, rules)
    running = state.rollout.policy if state.rollout else ""
    if command.verb == "promote" and policy and policy != running:
        return _let_in(book, policy, because, rules)
    if policy and policy != running and not (command.verb == "rollback" and policy == state.stable):
        return Change(book, refused=f"{policy} is not what is rolled out")
    if command.verb == "promote":
        return _step(book, Promote(), because, rules)
    if command.verb == "rollback" and not running:
        found = _leaving(book, state.stable, because, rules)
        return found.then(_step(found.book, Rollback(), because, rules))
    return _step(book, _PLAIN[command.verb](), because, rules)


def _let_in(book: Book, policy: str, because: Because, rules: Rules) -> Change:
    entry = book.entries.get(policy)
    if entry is None or entry.verdict != "pass":
        said = f"its newest evaluation says {entry.verdict}" if entry else "it is no candidate"
        return Change(book, refused=f"{policy} is not rolled out: {said}")
    return _submit(book, policy, because, rules)


def _submit(book: Book, policy: str, because: Because, rules: Rules) -> Change:
    if problem := rules.broken(book.deployed(policy)):
        return Change(book, refused=f"the artefact of {policy} cannot be used: {problem}")
    entry = book.entries[policy]
    found = _step(book, Submit(policy), because, rules)
    if found.refused:
        return found
    return replace(found, book=_with(found.book, policy, replace(entry, waits=False, submitted=True)))


def _leaving(book: Book, policy: str, because: Because, rules: Rules) -> Change:
    """Before a stable version is left: blacklist earlier ones whose artefacts are broken, so that the newest
    good one is next."""
    passed = Change(book)
    if policy != book.state.stable:
        return passed
    for earlier in reversed(book.state.history):
        state = passed.book.state
        if earlier == state.base or state.blocks(earlier, because.at / 1000):
            continue
        problem = rules.broken(book.deployed(earlier))
        if problem is None:
            break
        told = replace(because, cause=f"passed over, its artefact cannot be used: {problem}")
        passed = passed.then(_step(passed.book, Block(earlier, told.cause), told, rules))
    return passed


def _step(book: Book, event: Event, because: Because, rules: Rules) -> Change:
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
            stage=_stage(after, rules) if each is outcome.transitions[-1] else "",
            cause=each.cause,
            by=because.by,
            at=now,
            numbers=because.numbers,
        )
        for each in outcome.transitions
    )
    ended = book.watch if book.watch is not None and over(book.watch, after.watch) else None
    return Change(after, events, ended=ended)


def over(watch: Watch, after: Watch | None) -> bool:
    """Whether a stage is over: another one, or another stable policy, or none, is watched afterwards."""
    return after is None or (after.salt, after.stage, after.stable) != (watch.salt, watch.stage, watch.stable)


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
        salt, kept = f"{book.application}-{started}", ()
    return Watch(salt, rollout.policy, after.state.stable, rollout.stage, now, rules.ends(), record=kept)


def _aside(book: Book, name: str, what: str, policy: str, because: Because, rules: Rules) -> DeploymentEvent:
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


def _refused(
    book: Book, name: str, policy: str, change: Change, because: Because, rules: Rules
) -> DeploymentEvent:
    event = _aside(book, f"refused-{name}", "refused", policy, because, rules)
    return replace(event, cause=f"{change.refused} ({because.cause})")


def _with(book: Book, policy: str, entry: Entry) -> Book:
    return replace(book, entries={**book.entries, policy: entry})


def _stage(book: Book, rules: Rules) -> str:
    rollout = book.state.rollout
    return rules.settings.stages[rollout.stage].name if rollout else ""


def _padded(watch: Watch, means: tuple[Mean | None, ...]) -> list[Mean | None]:
    return [*watch.record, *[None] * len(means)][: len(means)]


def _figures(evaluation: Evaluation) -> dict[str, float]:
    figures = {"decisions": float(evaluation.decisions)}
    for each in evaluation.metrics:
        figures |= {f"{each.name}_candidate": each.value, f"{each.name}_baseline": each.baseline}
    return figures
