"""What evaluations, guards and kill switches lead to: no clock, no Kafka.

A book, a fact and a time in; the book afterwards, its audit and the stages' evaluations out.
"""

from dataclasses import replace

from services.deployer.book import Book, Due, Watch, entry_of
from services.deployer.stepping import (
    Because,
    Change,
    Rules,
    Unverified,
    advance,
    aside,
    refusal,
    submit,
    with_entry,
)
from shared.core.rollout.arms import Mean
from shared.core.rollout.facts import Freeze, Health, Kill, Observe
from shared.core.rollout.guards import Assessment
from shared.wire.rollouts import DeploymentEvent, Evaluation

UNSUPPORTED = frozenset({"missing-support", "no-density"})
"""Reasons of evaluators for refusing what no decision is about."""


def evaluated(book: Book, evaluation: Evaluation, now: int, rules: Rules) -> Change:
    """Take an evaluation of kind log or shadow.

    A candidate's first pass lets it in. Later ones tell how it does in shadow; of a candidate whose rollout
    is over, only another on the log lets it in again. One that no decision supports yet takes nothing back.
    """
    if evaluation.evaluation_id in book.seen or evaluation.candidate_id == book.state.base:
        return Change(book)
    if evaluation.kind == "shadow" and not evaluation.decisions and _unsupported(evaluation):
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
        waiting = with_entry(noted, policy, replace(entry, waits=True))
        event = aside(waiting, f"waits-{policy}", "held", policy, because, rules)
        return Change(waiting, (replace(event, cause=f"{told}; waits for somebody to promote {policy}"),))
    due = Due(because.cause, because.numbers)
    return verified(with_entry(noted, policy, replace(entry, due=due)), policy, now, rules)


def _unsupported(evaluation: Evaluation) -> bool:
    """Whether flowing decisions say nothing of a candidate, as of models that answer nobody in shadow."""
    return any(reason.name in UNSUPPORTED for reason in evaluation.reasons)


def verified(book: Book, policy: str, now: int, rules: Rules) -> Change:
    """Let in a candidate that is due, as soon as its artefact is known to be what it should be."""
    entry = book.entries[policy]
    if entry.due is None:
        return Change(book)
    because = Because(entry.due.cause, "evaluator", now, entry.due.numbers)
    try:
        found = submit(book, policy, because, rules)
    except Unverified:
        return Change(book)
    if not found.refused:
        return found
    over = with_entry(book, policy, replace(entry, due=None))
    return Change(over, (refusal(over, entry.evaluation_id, policy, found, because, rules),))


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
        return Change(held, (aside(held, name, "held", rollout.policy, because, rules),))
    event = Observe(rollout.policy, seen.health, seen.samples)
    if not seen.cause:
        because = replace(because, cause="the stage has baked, and guards pass")
    found = advance(book, event, because, rules)
    after = found.book.watch
    if found.events and after is not None and after.salt == watch.salt:
        record = tuple(each if each else old for each, old in zip(means, _padded(watch, means), strict=True))
        found = replace(found, book=replace(found.book, watch=replace(after, record=record)))
    return found if found.events else Change(book)


def killed(book: Book, event: DeploymentEvent, now: int, rules: Rules) -> Change:
    """Somebody has pulled the kill switch of a decision API, and it may have taken hours to be told here.

    The rollout that was under way then ends; and nothing starts or gets on until a person thaws, since it was
    a person who said that something is wrong.
    """
    if event.event_id in (*book.kills, *book.seen):
        return Change(book)
    noted = replace(book, kills=(*book.kills, event.event_id))
    because = Because(f"kill switch: {event.cause}", event.by or "kill-switch", now, event.numbers)
    rollout = book.state.rollout
    since = rollout is not None and event.at / 1000 < rollout.started
    found = advance(noted, Freeze() if since else Kill(), because, rules)
    return Change(noted) if found.refused else found


def _padded(watch: Watch, means: tuple[Mean | None, ...]) -> list[Mean | None]:
    return [*watch.record, *[None] * len(means)][: len(means)]


def _figures(evaluation: Evaluation) -> dict[str, float]:
    figures = {"decisions": float(evaluation.decisions)}
    for each in evaluation.metrics:
        figures |= {f"{each.name}_candidate": each.value, f"{each.name}_baseline": each.baseline}
    return figures
