"""What a candidate's statistics say at a look, however many looks there were before."""

from collections.abc import Iterator
from dataclasses import replace

from services.evaluator.influences import Target, corrected, normalised, robust, variance
from services.evaluator.judging import REWARD, breached, few, metric, reasons_of, refused
from services.evaluator.shadow import MISSING, Shadow
from services.evaluator.sums import ROWS, WEIGHT, logged
from services.evaluator.weighing import ELSEWHERE
from shared.applications.settings import ApplicationSettings
from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.estimators.continuous.smoothing import blurred
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.refusals import reward_reasons, weight_reasons
from shared.core.estimators.settings import Settings
from shared.core.estimators.verdict import Guard, Judgement, Verdict, judge, overall
from shared.wire.rollouts import Evaluation
from shared.wire.training import Span

GROWING = frozenset({"effective-sample-size", "few-units", "rare-reward", "tail-weight", "maximum-weight"})
"""Reasons that further decisions take away: they leave a look inconclusive instead of refused."""


def look(about: Evaluation, shadow: Shadow, settings: Settings, asked: ApplicationSettings) -> Evaluation:
    """The evaluation `kind: shadow`; its intervals are confidence sequences. `about` names the candidate."""
    about = _counted(about, shadow, settings.widening)
    enough = about.decisions >= asked.evaluation.least_decisions
    if not shadow.total.weights[0].total > 0:
        return _of_others(about, shadow, asked) if enough or not about.decisions else few(about, asked)
    judgements = list(_judgements(shadow, settings))
    basis = shadow.weigher.traits.basis
    about = replace(
        about,
        metrics=tuple(metric(each, _estimator(shadow, n)) for n, each in enumerate(judgements)),
        reasons=reasons_of([basis]) if basis else (),
    )
    if not enough:
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
    return replace(about, verdict=verdict.value, reasons=(*breaches, *reasons_of(reasons), *about.reasons))


def not_followed(about: Evaluation, name: str, detail: str) -> Evaluation:
    """The evaluation `kind: shadow` of a candidate that cannot be followed."""
    own = f"shadow-{about.application}-{about.candidate_id}-{name}"
    return refused(replace(about, kind="shadow", evaluation_id=own), name, detail)


def _counted(about: Evaluation, shadow: Shadow, widening: float) -> Evaluation:
    """What was read, and what it weighs."""
    spans = tuple(
        Span(partition, first, shadow.next[partition])
        for partition, first in sorted(shadow.first.items())
        if first < shadow.next[partition]
    )
    weights = shadow.total.weights[0]
    return replace(
        about,
        kind="shadow",
        evaluation_id=f"shadow-{about.application}-{about.candidate_id}-{sum(span.next for span in spans)}",
        data=spans,
        widening=widening,
        decisions=weights.count,
        effective_sample_size=weights.effective_sample_size,
        max_weight=weights.largest,
    )


def _of_others(about: Evaluation, shadow: Shadow, asked: ApplicationSettings) -> Evaluation:
    """The evaluation where no decision has any weight: refused once there were enough that might have."""
    if about.decisions:
        detail = f"none of {about.decisions} decisions is one that the candidate would have made"
        return refused(about, ELSEWHERE, detail)
    why, least = shadow.weigher.traits.without, asked.evaluation.least_decisions
    if why is None or (others := shadow.left_out[why.name]) < least:
        return few(about, asked)
    told = replace(why, value=float(others), detail=f"{others} rewards are left out: {why.detail}")
    return replace(about, verdict="refused", reasons=reasons_of([told]))


def _estimator(shadow: Shadow, number: int) -> str:
    """The name of a metric's: the reward's is the first."""
    name = "dr" if shadow.weigher.traits.modelled and not number else "snips"
    return f"{name}-{shadow.weigher.traits.basis.name}" if shadow.weigher.traits.basis else name


def _judgements(shadow: Shadow, settings: Settings) -> Iterator[Judgement]:
    values = shadow.total.under()
    common = [
        *_weight_reasons(shadow, values, settings.limits),
        *_broken(shadow, settings.limits),
        *_blurred(shadow, values, settings.limits),
    ]
    for number, guard in enumerate((Guard(REWARD), *settings.guards)):
        given = settings.baseline if guard.name == REWARD else None
        if shadow.weigher.traits.modelled and not number:
            target = robust(values, shadow.total.under(1), shadow.modelled)
        else:
            target = normalised(values, number)
        yield _judgement(values, number, target, guard, given, settings, common)


def _weight_reasons(shadow: Shadow, values: Floats, limits: Limits) -> Iterator[Reason]:
    columns = {"rows": values[ROWS], "weight": values[WEIGHT]}
    yield from weight_reasons(shadow.total.weights[0], columns, "weight", limits)


def _broken(shadow: Shadow, limits: Limits) -> Iterator[Reason]:
    if absent := shadow.left_out[MISSING]:
        yield Reason(MISSING, float(absent), 0.0, "logged rewards that lack a guarded component")
    name = "unreproducible-propensities"
    wrong = shadow.left_out[name]
    share = wrong / (wrong + shadow.total.decisions)
    if share > limits.unreproducible:
        yield Reason(name, share, limits.unreproducible, "share of logged propensities that are not sound")


def _blurred(shadow: Shadow, values: Floats, limits: Limits) -> Iterator[Reason]:
    """What a kernel adds to the candidate's own vector."""
    if shadow.weigher.traits.modelled:
        wider = shadow.total.under(1)
        narrow, wide = (corrected(each, shadow.modelled) for each in (values, wider))
        yield from blurred(values[ROWS], narrow, wide, limits)


def _judgement(
    values: Floats,
    number: int,
    target: Target,
    guard: Guard,
    given: float | None,
    settings: Settings,
    common: list[Reason],
) -> Judgement:
    rows, other = values[ROWS], values[logged(number)]
    count, (value, moves) = float(rows.sum()), target
    baseline = float(other.sum()) / count if given is None else given
    apart = moves if given is not None else moves - (other - baseline * rows) / count
    half, wide = (
        settings.widening
        * asymptotic_half_width(variance(each) * count, count, settings.alpha, settings.tuned_at)
        for each in (moves, apart)
    )
    difference = value - baseline
    refusals = [*common, *reward_reasons(moves * len(moves), value, settings.limits)]
    found = judge(
        guard, baseline, difference, Interval(difference - wide, difference + wide), round(count), refusals
    )
    return replace(found, value=value, ends=Interval(value - half, value + half))
