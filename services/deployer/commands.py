"""What commands lead to, and which of them mean nothing now."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from services.deployer.book import Book
from services.deployer.stepping import Because, Change, Rules, advance, refusal, submit
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

Verb = Literal["promote", "abort", "pause", "resume", "rollback", "freeze", "thaw", "block", "unblock"]
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


def commanded(book: Book, command: Command, now: int, rules: Rules) -> Change:
    """Do what somebody asks for; what means nothing now is refused, with a line in the audit."""
    told = command.reason or f"{command.verb} was asked for"
    because = Because(told, command.by or "http", now)
    found = _obey(book, command, because, rules)
    if found.refused is None:
        return found
    return replace(found, events=(refusal(book, command.id, command.policy, found, because, rules),))


def _obey(book: Book, command: Command, because: Because, rules: Rules) -> Change:
    policy, state = command.policy, book.state
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
