"""What a candidate's statistics say at a look, however many looks there were before."""

from collections.abc import Iterator
from dataclasses import replace

from services.evaluator.judging import REWARD, breached, few, metric, reasons_of
from services.evaluator.shadow import MISSING, Shadow
from services.evaluator.sums import ROWS, WEIGHT, logged, weighted
from shared.applications.settings import ApplicationSettings
from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.refusals import reward_reasons, weight_reasons
from shared.core.estimators.settings import Settings
from shared.core.estimators.verdict import Guard, Judgement, Verdict, judge, overall
from shared.wire.rollouts import Evaluation
from shared.wire.training import Span

GROWING = frozenset({"effective-sample-size", "few-units", "rare-reward"})
"""Reasons that further decisions take away: they leave a look inconclusive instead of refused."""


def look(about: Evaluation, shadow: Shadow, settings: Settings, asked: ApplicationSettings) -> Evaluation:
    """The evaluation `kind: shadow`; its intervals are confidence sequences. `about` names the candidate."""
    total = shadow.total
    spans = tuple(
        Span(partition, first, shadow.next[partition])
        for partition, first in sorted(shadow.first.items())
        if first < shadow.next[partition]
    )
    about = replace(
        about,
        kind="shadow",
        evaluation_id=f"shadow-{about.application}-{about.candidate_id}-{sum(span.next for span in spans)}",
        data=spans,
        widening=settings.widening,
        decisions=total.decisions,
        effective_sample_size=total.weights.effective_sample_size,
        max_weight=total.weights.largest,
    )
    if not total.weights.total > 0:
        return few(about, asked)
    judgements = list(_judgements(shadow, settings))
    about = replace(about, metrics=tuple(metric(each, "snips") for each in judgements))
    if about.decisions < asked.evaluation.least_decisions:
        return few(about, asked)
    reasons = list(dict.fromkeys(reason for each in judgements for reason in each.reasons))
    breaches = tuple(breached({each.guard.name: each.value for each in judgements}, about.decisions, asked))
    verdict = overall(judgements)
    if verdict == Verdict.REFUSED and all(
        reason.name in GROWING for each in judgements if each.verdict == verdict for reason in each.reasons
    ):
        verdict = Verdict.INCONCLUSIVE
    if breaches and verdict != Verdict.REFUSED:
        verdict = Verdict.FAIL
    return replace(about, verdict=verdict.value, reasons=(*breaches, *reasons_of(reasons)))


def _judgements(shadow: Shadow, settings: Settings) -> Iterator[Judgement]:
    values = shadow.total.values[:, shadow.total.values[ROWS] > 0]
    common = [*_weight_reasons(shadow, values, settings.limits), *_broken(shadow, settings.limits)]
    for number, guard in enumerate((Guard(REWARD), *settings.guards)):
        given = settings.baseline if guard.name == REWARD else None
        yield _judgement(values, number, guard, given, settings, common)


def _weight_reasons(shadow: Shadow, values: Floats, limits: Limits) -> Iterator[Reason]:
    columns = {"rows": values[ROWS], "weight": values[WEIGHT]}
    yield from weight_reasons(shadow.total.weights, columns, "weight", limits)


def _broken(shadow: Shadow, limits: Limits) -> Iterator[Reason]:
    if absent := shadow.left_out[MISSING]:
        yield Reason(MISSING, float(absent), 0.0, "logged rewards that lack a guarded component")
    name = "unreproducible-propensities"
    wrong = shadow.left_out[name]
    share = wrong / (wrong + shadow.total.decisions)
    if share > limits.unreproducible:
        yield Reason(name, share, limits.unreproducible, "share of logged propensities that are not sound")


def _judgement(
    values: Floats,
    number: int,
    guard: Guard,
    given: float | None,
    settings: Settings,
    common: list[Reason],
) -> Judgement:
    rows, weight = values[ROWS], values[WEIGHT]
    own, other = values[weighted(number)], values[logged(number)]
    count, mass = float(rows.sum()), float(weight.sum())
    value = float(own.sum()) / mass
    baseline = float(other.sum()) / count if given is None else given
    # Influence of each group on either mean: what its being there moves them by, to first order.
    moves = (own - value * weight) / mass
    apart = moves if given is not None else moves - (other - baseline * rows) / count
    half, wide = (
        settings.widening
        * asymptotic_half_width(_variance(each) * count, count, settings.alpha, settings.tuned_at)
        for each in (moves, apart)
    )
    difference = value - baseline
    refusals = [*common, *reward_reasons(moves * len(moves), value, settings.limits)]
    found = judge(
        guard, baseline, difference, Interval(difference - wide, difference + wide), round(count), refusals
    )
    return replace(found, value=value, ends=Interval(value - half, value + half))


def _variance(moves: Floats) -> float:
    """Of a statistic, from its groups' influences."""
    groups = len(moves)
    if groups < 2:
        return float("inf")
    return float(((moves - moves.mean()) ** 2).sum()) * groups / (groups - 1)
