"""One candidate against what was logged: facts in, an evaluation and what its page shows out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl

from services.evaluator import metrics as product
from services.evaluator.decisions import closed, unseen
from services.evaluator.lineage import Lineage
from services.evaluator.logs import Usable, log_of, usable
from services.evaluator.rewards import Logged
from shared.algorithms.serving import DiscretePolicy
from shared.applications.contract import Application
from shared.applications.settings import ApplicationSettings
from shared.core.estimators import evaluation as core
from shared.core.estimators.limits import Limits
from shared.core.estimators.limits import Reason as CoreReason
from shared.core.estimators.log import Logged as Log
from shared.core.estimators.refusals import support_reasons
from shared.core.estimators.settings import Settings
from shared.core.estimators.verdict import Guard, Judgement
from shared.core.estimators.verdict import Verdict as CoreVerdict
from shared.core.estimators.windows import Window, age_reasons
from shared.evaluation.study import Chunk, Study
from shared.wire.rollouts import Evaluation, MetricEstimate, Reason, Verdict

REWARD = "reward"


@dataclass(frozen=True, eq=False)
class Judged:
    """An evaluation, with what a page shows of it; None where there is nothing to show."""

    evaluation: Evaluation
    study: Study | None
    settings: Settings


def settings_of(application: ApplicationSettings, widening: float, tuned_at: float) -> Settings:
    """How candidates of an application are judged."""
    asked = application.evaluation
    guards = [
        Guard(each.metric, each.higher_is_better, each.tolerance)
        for each in application.guards
        if each.metric != REWARD
    ]
    return Settings(
        alpha=asked.alpha,
        baseline=asked.baseline,
        guards=guards,
        limits=Limits(**{**asdict(Limits()), **asked.limits}),
        widening=widening,
        tuned_at=tuned_at,
    )


def refused(about: Evaluation, name: str, detail: str) -> Evaluation:
    """The evaluation of a candidate that cannot be judged at all."""
    return replace(about, verdict="refused", reasons=(Reason(name, detail),))


def judge_log(
    about: Evaluation,
    policy: DiscretePolicy,
    application: Application,
    logged: Logged,
    lineage: Lineage,
    settings: Settings,
) -> Judged:
    """Judge a policy on the logged decisions that it was not trained on; `about` names the candidate.

    Raises Unusable.
    """
    about = replace(about, data=logged.spans, widening=settings.widening)
    decisions = closed(unseen(logged.frame, lineage), logged.frame, application.settings)
    found = usable(decisions, policy, application, settings.limits)
    log = log_of(found, [guard.name for guard in settings.guards])
    absent = [name for name, values in log.metrics.items() if not np.isfinite(values).all()]
    if absent:
        detail = f"logged rewards lack the component {', '.join(absent)}"
        return Judged(refused(about, "missing-metric", detail), None, settings)
    about = replace(about, decisions=len(log), reasons=reasons_of(found.left_out))
    if not len(log):
        return Judged(few(about, application.settings), None, settings)
    about, log, settings = with_metrics(about, log, found.frame, settings)
    chunk = Chunk(log, found.frame["policy"].to_list())
    study = Study([chunk], settings, models=log.q_logged is not None, clustered=True)
    doubts = reasons_of([*stale(found.frame, about.at, settings), *_unsupported(found, settings)])
    return Judged(decided(about, study.evaluation, doubts, application.settings), study, settings)


def with_metrics(
    about: Evaluation, log: Log, frame: pl.DataFrame, settings: Settings
) -> tuple[Evaluation, Log, Settings]:
    """Have the application's metrics estimated too, those that all decisions tell."""
    guarded = [guard.name for guard in settings.guards]
    told, untold = product.whole(product.told(frame, about.application, guarded))
    return (
        replace(about, reasons=(*about.reasons, *reasons_of(untold))),
        replace(log, metrics={**log.metrics, **told}),
        replace(settings, told=list(told)),
    )


def stale(frame: pl.DataFrame, now: int, settings: Settings) -> Iterator[CoreReason]:
    """Yield a reason if the newest decision is too old; `now` in milliseconds since 1970."""
    times = frame["decision_time"].to_numpy() / 1000
    yield from age_reasons(Window(float(times.min()), float(times.max())), now / 1000, settings.limits)


def _unsupported(found: Usable, settings: Settings) -> Iterator[CoreReason]:
    yield from support_reasons(found.choices.logged, found.probabilities, settings.limits)


def decided(
    about: Evaluation,
    found: core.Evaluation,
    doubts: tuple[Reason, ...],
    settings: ApplicationSettings,
    basis: str = "",
) -> Evaluation:
    """The evaluation with its figures and verdict; its reasons so far tell what was left out.

    `basis` is added to the names of estimators: what they rest on.
    """
    about = replace(
        about,
        effective_sample_size=found.effective_sample_size,
        max_weight=found.max_weight,
        metrics=tuple(_metrics(found, basis)),
    )
    if about.decisions < settings.evaluation.least_decisions:
        return few(about, settings)
    values = {each.guard.name: each.value for each in found.judgements}
    breaches = tuple(breached(values, found.rows, settings))
    verdict: Verdict = "refused" if doubts else _word(found.verdict)
    if breaches and verdict != "refused":
        verdict = "fail"
    reasons = (*breaches, *doubts, *reasons_of(found.reasons), *about.reasons)
    return replace(about, verdict=verdict, reasons=reasons)


def few(about: Evaluation, settings: ApplicationSettings) -> Evaluation:
    """The evaluation while there are too few decisions for a verdict."""
    least, count = settings.evaluation.least_decisions, about.decisions
    detail = f"{count} decisions are new to the candidate; {least - count} further ones are needed"
    reason = Reason("few-decisions", detail, float(count), float(least))
    return replace(about, verdict="inconclusive", reasons=(reason, *about.reasons))


def _metrics(found: core.Evaluation, basis: str) -> Iterator[MetricEstimate]:
    for judgement in (*found.judgements, *found.told):
        name = found.decided_by if judgement.guard.name == REWARD else "snips"
        yield metric(judgement, f"{name}-{basis}" if basis else name)


def metric(judgement: Judgement, estimator: str) -> MetricEstimate:
    """A judgement as the record has it."""
    return MetricEstimate(
        name=judgement.guard.name,
        estimator=estimator,
        value=judgement.value,
        low=judgement.ends.low,
        high=judgement.ends.high,
        baseline=judgement.baseline,
        difference=judgement.difference,
        difference_low=judgement.interval.low,
        difference_high=judgement.interval.high,
        verdict=_word(judgement.verdict),
    )


def breached(values: Mapping[str, float], rows: int, settings: ApplicationSettings) -> Iterator[Reason]:
    """Limits that hold whatever the baseline does, and that estimates (by metric) break."""
    least = settings.evaluation.least_reward
    if least is not None and values[REWARD] < least:
        detail = f"the estimated mean reward is {values[REWARD]:.4g}, at least {least:g} is asked for"
        yield Reason("least-reward", detail, values[REWARD], least)
    for guard in settings.guards:
        value = values[guard.metric]
        if rows < guard.samples:
            continue
        if guard.at_least is not None and value < guard.at_least:
            detail = f"{guard.metric}: {value:.4g} is below its limit"
            yield Reason("at-least", detail, value, guard.at_least)
        if guard.at_most is not None and value > guard.at_most:
            yield Reason("at-most", f"{guard.metric}: {value:.4g} is above its limit", value, guard.at_most)


def reasons_of(found: Sequence[CoreReason]) -> tuple[Reason, ...]:
    """Reasons as the record has them."""
    return tuple(map(_reason, found))


def _reason(each: CoreReason) -> Reason:
    value, limit = each.value, each.limit
    return Reason(each.name, each.detail, None if value is None else float(value), limit)


def _word(verdict: CoreVerdict) -> Verdict:
    return verdict.value
