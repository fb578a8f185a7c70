"""How the stable policy does outside of rollouts, by windows of time: people are told when it degrades."""

from dataclasses import replace

from services.deployer.book import Book, Standing
from services.deployer.stepping import Because, Change, Rules, aside
from shared.core.rollout.arms import Mean
from shared.core.rollout.degradation import Tolerated, fall, tells
from shared.wire.rollouts import DeploymentEvent


def stood(book: Book, mean: Mean | None, now: int, rules: Rules) -> Change:
    """Take the mean reward of the window under way.

    The first window of a stable policy is what later ones are compared with. Nothing is taken back: another
    time is no proof against a policy.
    """
    told, standing = rules.tolerated, book.standing
    if told is None:
        return Change(replace(book, standing=None))
    if standing is None or standing.policy != book.state.stable:
        first = Standing(book.state.stable, now, rules.ends())
        return Change(replace(book, standing=first))
    if mean is None or not tells(mean, told):
        return Change(book)
    over = now - standing.since >= told.window_ms
    if standing.reference is not None and not standing.worse:
        found = _compared(book, standing, standing.reference, mean, now, rules, told)
        if found is not None:
            return found
    return _next(book, standing, mean, now, rules) if over else Change(book)


def moved(before: Standing | None, after: Standing | None) -> bool:
    """Whether another window is under way."""
    if before is None or after is None:
        return before is not after
    return (before.policy, before.since, before.number) != (after.policy, after.since, after.number)


def _compared(
    book: Book, standing: Standing, reference: Mean, mean: Mean, now: int, rules: Rules, told: Tolerated
) -> Change | None:
    """The window is worse for sure, if it is; told once, until a window was not."""
    bound = fall(reference, mean, standing.number, told)
    if bound.high >= 0:
        return None
    noted = replace(book, standing=replace(standing, worse=True, degraded=True), at=max(now, book.at))
    if standing.degraded:
        return Change(noted)
    words = (
        f"mean reward {mean.value:.4g} over {mean.count:.0f} decisions, {reference.value:.4g} when it became "
        f"stable; below what is tolerated by at least {-bound.high:.4g}"
    )
    numbers = {"reward": mean.value, "reference": reference.value, "samples": mean.count}
    because = Because(words, "guard", now, numbers | {"difference": bound.difference, "high": bound.high})
    return Change(noted, (_event(noted, standing, "degraded", because, rules),))


def _next(book: Book, standing: Standing, mean: Mean, now: int, rules: Rules) -> Change:
    """The window is over, and the next one begins."""
    after = replace(
        standing,
        since=now,
        offsets=rules.ends(),
        number=standing.number + 1,
        reference=standing.reference or mean,
        worse=False,
        degraded=standing.worse,
    )
    noted = replace(book, standing=after, at=max(now, book.at))
    if after.degraded or not standing.degraded:
        return Change(noted)
    words = f"mean reward {mean.value:.4g} over {mean.count:.0f} decisions"
    because = Because(words, "guard", now, {"reward": mean.value, "samples": mean.count})
    return Change(noted, (_event(noted, standing, "recovered", because, rules),))


def _event(book: Book, standing: Standing, what: str, because: Because, rules: Rules) -> DeploymentEvent:
    return aside(book, f"{what}-{standing.since}", what, standing.policy, because, rules)
