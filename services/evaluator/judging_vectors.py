"""One candidate whose action is a vector against logged vectors, by kernels and densities."""

from dataclasses import replace

import numpy as np

from services.evaluator.decisions import closed, unseen
from services.evaluator.judging import Judged, decided, few, reasons_of, refused, stale, with_metrics
from services.evaluator.lineage import Lineage
from services.evaluator.logs import components
from services.evaluator.rewards import Logged
from services.evaluator.vectors import ESTIMATED, LOGGED, NO_DENSITY, Vectors, vectors
from shared.algorithms.serving import ContinuousPolicy
from shared.applications.contract import Application
from shared.core.estimators.continuous.smoothing import WIDENED, smoothing_reasons
from shared.core.estimators.continuous.weighing import Weighing
from shared.core.estimators.outcomes import mean, squared_error
from shared.core.estimators.settings import Settings
from shared.evaluation.study import Chunk, Study
from shared.wire.rollouts import Evaluation, MetricEstimate, Reason


def judge_vectors(
    about: Evaluation,
    policy: ContinuousPolicy,
    application: Application,
    logged: Logged,
    lineage: Lineage,
    settings: Settings,
) -> Judged:
    """Judge a policy on the logged vectors that it was not trained on; `about` names the candidate.

    `logged` has the decisions' attributes. Raises Unusable.
    """
    about = replace(about, data=logged.spans, widening=settings.widening)
    decisions = closed(unseen(logged.frame, lineage), logged.frame, application.settings)
    found = vectors(decisions, policy, application)
    about = replace(about, decisions=len(found.log), reasons=reasons_of(found.left_out))
    least = application.settings.evaluation.least_decisions
    if len(found.log) < least:
        return Judged(_too_few(about, found, least, application), None, settings)
    guarded = components(found.frame, [guard.name for guard in settings.guards])
    absent = [name for name, values in guarded.items() if not np.isfinite(values).all()]
    if absent:
        detail = f"logged rewards lack the component {', '.join(absent)}"
        return Judged(refused(about, "missing-metric", detail), None, settings)
    try:
        bandwidth = application.settings.evaluation.bandwidth
        weighing = Weighing(found.log, bandwidth=bandwidth, seed=settings.seed)
    except ValueError as error:
        return Judged(refused(about, NO_DENSITY, str(error)), None, settings)
    log = replace(weighing.weighed(), metrics=guarded)
    about, log, settings = with_metrics(about, log, found.frame, settings)
    study = Study([Chunk(log, found.frame["policy"].to_list())], settings, models=True, clustered=True)
    doubts = reasons_of(
        [
            *stale(found.frame, about.at, settings),
            *weighing.support_reasons(settings.limits),
            *smoothing_reasons(log, weighing.weighed(WIDENED), settings.limits),
        ]
    )
    density = weighing.density
    basis = ESTIMATED if density.estimated else LOGGED
    told = Reason(basis, str(density), density.bandwidth)
    about = replace(about, reasons=(told, *about.reasons))
    said = decided(about, study.evaluation, doubts, application.settings, basis)
    said = replace(said, metrics=(*said.metrics, _action_error(found, settings)))
    return Judged(said, study, settings)


def _too_few(about: Evaluation, found: Vectors, least: int, application: Application) -> Evaluation:
    """Further decisions help only where some of them have a density."""
    without = next((each for each in found.left_out if each.name == NO_DENSITY), None)
    if without is None or len(found.log):
        return few(about, application.settings)
    detail = f"none of {int(without.value or 0)} decisions gave a vector by a density: {without.detail}"
    reason = Reason(NO_DENSITY, detail, 0.0, float(least))
    return replace(about, verdict="refused", reasons=(reason, *about.reasons))


def _action_error(found: Vectors, settings: Settings) -> MetricEstimate:
    """How far the candidate's vectors lie from the logged ones: a description, which decides nothing."""
    errors = squared_error(found.log.wanted, found.log.taken)
    figure = mean(errors, found.log.cluster, alpha=settings.alpha, seed=settings.seed)
    ends = figure.interval
    return MetricEstimate(
        name="action_mse",
        estimator="mean",
        value=figure.value,
        low=ends.low,
        high=ends.high,
        baseline=0.0,
        difference=figure.value,
        difference_low=ends.low,
        difference_high=ends.high,
        verdict="inconclusive",
    )
