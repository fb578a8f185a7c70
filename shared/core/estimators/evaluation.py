"""From a log's summary to estimates, intervals, refusals and a verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from shared.core.estimators.bootstrap import Bootstrap, Columns, Interval, Statistic
from shared.core.estimators.contract import Estimator
from shared.core.estimators.limits import Reason
from shared.core.estimators.log import Logged
from shared.core.estimators.measuring import Estimate, Measure
from shared.core.estimators.refusals import reward_reasons, weight_reasons
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import (
    BASELINE_WEIGHT,
    REWARD,
    WEIGHT,
    Summary,
    denominator,
    metric_column,
    numerator,
)
from shared.core.estimators.tuning import choose, ratio
from shared.core.estimators.verdict import Guard, Judgement, Verdict, judge, overall


@dataclass(frozen=True)
class Evaluation:
    """What a log says about a target policy."""

    rows: int
    units: int
    """Independent units that were resampled: decisions or subjects, pooled beyond 16,381."""
    effective_sample_size: float
    max_weight: float
    mean_weight: float
    baseline: Estimate
    estimates: Mapping[str, Estimate]
    decided_by: str
    judgements: Sequence[Judgement]
    """The reward's first, then the guards'."""
    verdict: Verdict
    reasons: Sequence[Reason]
    told: Sequence[Judgement] = ()
    """Of metrics that decide nothing: each by itself, with its own verdict."""


def evaluate(summary: Summary, settings: Settings) -> Evaluation:
    """Evaluate. Raises ValueError if the log is empty or the deciding estimator is not among its own."""
    if not summary.rows:
        raise ValueError("the log has no decisions")
    columns = summary.units.columns()
    chosen = [choose(list(family), columns) for _, family in groupby(summary.estimators, lambda e: e.name)]
    decides = _deciding(chosen, settings.decides)
    kept = _kept(columns, chosen)
    bootstrap = Bootstrap(kept, resamples=settings.resamples, seed=settings.seed, method=settings.method)
    measure = Measure(summary, settings, kept, bootstrap)
    every = list(_judgements(summary, settings, bootstrap, kept, ratio(decides, kept)))
    judgements, told = every[: 1 + len(settings.guards)], every[1 + len(settings.guards) :]
    return Evaluation(
        rows=summary.rows,
        units=len(columns["rows"]),
        effective_sample_size=summary.weights.effective_sample_size,
        max_weight=summary.weights.largest,
        mean_weight=summary.weights.mean,
        baseline=_baseline(summary, settings, measure),
        estimates={each.name: measure.estimator(each) for each in chosen},
        decided_by=decides.name,
        judgements=judgements,
        verdict=overall(judgements),
        reasons=list(dict.fromkeys(reason for each in judgements for reason in each.reasons)),
        told=told,
    )


def _deciding(chosen: Sequence[Estimator[Logged]], wanted: str | None) -> Estimator[Logged]:
    by_name = {each.name: each for each in chosen}
    name = wanted or ("dr" if "dr" in by_name else "snips")
    if name not in by_name:
        raise ValueError(f"no estimate is called {name!r}; there are: {', '.join(by_name)}")
    return by_name[name]


def _kept(columns: Columns, chosen: Sequence[Estimator[Logged]]) -> Columns:
    """Columns that are resampled: not those of a family's other members."""
    wanted = {name for each in chosen for name in (numerator(each), denominator(each))}
    families = ("numerator ", "denominator ")
    return {name: each for name, each in columns.items() if name in wanted or not name.startswith(families)}


def _baseline(summary: Summary, settings: Settings, measure: Measure) -> Estimate:
    if settings.baseline is not None:
        exact = Interval(settings.baseline, settings.baseline)
        return Estimate("given", None, settings.baseline, exact, exact, None, 0.0)
    return measure.statistic("snips" if summary.baseline else "behaviour", _standard(summary, REWARD))


def _standard(summary: Summary, metric: str) -> Statistic:
    """What a metric is compared with: its mean under the baseline policy, or as logged."""
    if summary.baseline:
        weighted = metric_column(metric, "baseline")
        return lambda sums: sums[weighted] / sums[BASELINE_WEIGHT]
    logged = REWARD if metric == REWARD else metric_column(metric, "logged")
    return lambda sums: sums[logged] / sums["rows"]


def _judgements(
    summary: Summary, settings: Settings, bootstrap: Bootstrap, columns: Columns, target: Statistic
) -> Iterator[Judgement]:
    common = list(_weight_reasons(summary, settings, columns))

    def judged(guard: Guard, target: Statistic, standard: Statistic) -> Judgement:
        def difference(sums: Columns) -> np.ndarray:
            return np.asarray(target(sums) - standard(sums))

        value, apart = bootstrap.value(target), bootstrap.value(difference)
        found = judge(
            guard,
            bootstrap.value(standard),
            apart,
            bootstrap.interval(difference, settings.alpha).around(apart, settings.widening),
            summary.rows,
            [*common, *reward_reasons(bootstrap.deviations(target), value, settings.limits)],
        )
        ends = bootstrap.interval(target, settings.alpha).around(value, settings.widening)
        return replace(found, value=value, ends=ends)

    number = settings.baseline
    yield judged(
        Guard(REWARD),
        target,
        _standard(summary, REWARD) if number is None else lambda sums: np.full_like(sums["rows"], number),
    )
    for guard in (*settings.guards, *map(Guard, settings.told)):
        yield judged(guard, _weighted(guard.name), _standard(summary, guard.name))


def _weighted(metric: str) -> Statistic:
    """A guarded metric's self-normalised estimate."""
    column = metric_column(metric, "target")
    return lambda sums: sums[column] / sums[WEIGHT]


def _weight_reasons(summary: Summary, settings: Settings, columns: Columns) -> Iterator[Reason]:
    yield from weight_reasons(summary.weights, columns, WEIGHT, settings.limits)
    if summary.baseline:
        weights = summary.baseline_weights
        for reason in weight_reasons(weights, columns, BASELINE_WEIGHT, settings.limits):
            yield replace(reason, name=f"baseline-{reason.name}")
