"""What commands lead to, and which of them mean nothing now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from services.deployer.book import Book
from services.deployer.stepping import Because, Change, Rules, advance, aside, refusal, submit
from shared.core.rollout.facts import (
    Abort,
    Block,
    Event,
    Freeze,
    Pause,
    Promote,
    Resume,
    Rollback,
    Thaw,
    Unblock,
)

Verb = Literal[
    "promote", "abort", "pause", "resume", "rollback", "freeze", "thaw", "block", "unblock", "reset"
]
MOST_NAMED = 50
"""Actions that a refusal names."""
_PLAIN: Mapping[str, Callable[[], Event]] = {
    "abort": Abort,
    "pause": Pause,
    "resume": Resume,
    "rollback": Rollback,
    "freeze": Freeze,
    "thaw": Thaw,
}


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
    action: str = ""
    """Of a reset: whose statistics start anew."""


def commanded(book: Book, command: Command, now: int, rules: Rules) -> Change:
    """Do what somebody asks for; what means nothing now is refused, with a line in the audit."""
    told = command.reason or f"{command.verb} was asked for"
    because = Because(told, command.by or "http", now)
    found = _obey(book, command, because, rules)
    if found.refused is None:
        return found
    refused = refusal(book, command.id, command.policy, found, because, rules)
    return replace(found, events=(replace(refused, action=command.action or None),))


def _obey(book: Book, command: Command, because: Because, rules: Rules) -> Change:
    policy, state = command.policy, book.state
    if command.verb == "reset":
        return _reset(book, command, because, rules)
    if policy and not book.knows(policy):
        return Change(book, refused=f"there is no policy {policy:.100}", unknown=True)
    if command.verb == "block":
        found = _leaving(book, policy, because, rules)
        return found.then(advance(found.book, Block(policy, because.cause, command.until), because, rules))
    if command.verb == "unblock":
        return advance(book, Unblock(policy), because, rules)
    running = state.rollout.policy if state.rollout else ""
    if command.verb == "promote" and policy and policy != running:
        return _let_in(book, policy, because, rules)
    if policy and policy != running and not (command.verb == "rollback" and policy == state.stable):
        return Change(book, refused=f"{policy} is not what is rolled out")
    if command.verb == "promote":
        return advance(book, Promote(), because, rules)
    if command.verb == "rollback" and not running:
        found = _leaving(book, state.stable, because, rules)
        return found.then(advance(found.book, Rollback(), because, rules))
    return advance(book, _PLAIN[command.verb](), because, rules)


def _reset(book: Book, command: Command, because: Because, rules: Rules) -> Change:
    """Learners do it: they obey the line of the audit, which tells from when on decisions count again."""
    arms = rules.arms
    if not arms:
        told = "the actions share one regression"
        return Change(book, refused=f"{book.application} has no arms to reset: {told}")
    if command.action not in arms:
        known = ", ".join(arms[:MOST_NAMED]) + (", …" if len(arms) > MOST_NAMED else "")
        told = f"{book.application} has no action {command.action!r:.100}; it has {known}"
        return Change(book, refused=told, unknown=True)
    # Later than every reset before, whatever clock a predecessor had: learners go by it.
    noted = replace(book, at=max(because.at, book.at + 1))
    event = aside(noted, f"reset-{command.id}", "reset", book.state.base, because, rules)
    return Change(noted, (replace(event, action=command.action),))


def _let_in(book: Book, policy: str, because: Because, rules: Rules) -> Change:
    entry = book.entries.get(policy)
    if entry is None or entry.verdict != "pass":
        said = f"its newest evaluation says {entry.verdict}" if entry else "it is no candidate"
        return Change(book, refused=f"{policy} is not rolled out: {said}")
    return submit(book, policy, because, rules)


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
        passed = passed.then(advance(passed.book, Block(earlier, told.cause), told, rules))
    return passed
