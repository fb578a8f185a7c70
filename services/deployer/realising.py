"""What a finished stage realised, for people and for the evaluator's calibration."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import TypeGuard

from services.deployer.book import Entry, Watch
from shared.core.rollout.arms import Mean
from shared.core.rollout.cohorts import Cohorts
from shared.core.rollout.guards import FEWEST_GROUPS, Plan, against
from shared.wire.rollouts import Evaluation, MetricEstimate, Reason, Verdict
from shared.wire.training import Span


@dataclass(frozen=True)
class Finished:
    """A stage that is over. `alpha` is 1 - level of the application's evaluations."""

    name: str
    watch: Watch
    plan: Plan
    cohorts: Cohorts
    next_offsets: Mapping[int, int]
    """Per partition of rewards: the first that is not of the stage."""
    alpha: float


def realised(
    application: str, entry: Entry, stage: Finished, verdict: Verdict, number: int, now: int
) -> Evaluation:
    """What the stage says of its candidate; `number` is that of the transition which ended it.

    Metrics are of stages with two arms: candidate and baseline had the same time, which a calibration needs.
    Their intervals are plain normal ones, as evaluations' are, since calibration works standard errors out of
    them. Reasons hold what was realised and predicted in any stage.
    """
    canary, stable = stage.cohorts.arms["canary"], stage.cohorts.arms["stable"]
    return Evaluation(
        evaluation_id=f"{application}-stage-{number}",
        application=application,
        candidate_id=stage.watch.policy,
        kind="stage",
        verdict=verdict,
        at=now,
        algorithm=entry.deployed.algorithm,
        artefact=entry.deployed.artefact,
        manifest_sha256=entry.deployed.manifest_sha256,
        baseline=stage.watch.stable,
        reasons=(Reason("stage", stage.name, stage.plan.share), *_told(entry, stage)),
        decisions=canary.count + stable.count,
        effective_sample_size=float(canary.count),
        max_weight=1.0,
        metrics=tuple(_estimates(stage, verdict)),
        data=tuple(
            Span(partition, first, stage.next_offsets[partition])
            for partition, first in sorted(stage.watch.offsets.items())
            if stage.next_offsets.get(partition, 0) > first
        ),
    )


def _told(entry: Entry, stage: Finished) -> Iterator[Reason]:
    for n, guard in enumerate(stage.plan.guards):
        if mean := stage.cohorts.arms["canary"].mean(n):
            yield Reason(f"realised-{guard.name}", f"over {mean.count:.0f} decisions", mean.value)
    for each in entry.predictions:
        told = f"{each.estimator} of evaluation {entry.evaluation_id}, in [{each.low}, {each.high}]"
        yield Reason(f"predicted-{each.metric}", told, each.value)


def _estimates(stage: Finished, verdict: Verdict) -> Iterator[MetricEstimate]:
    z = NormalDist().inv_cdf(1 - stage.alpha / 2)
    for n, guard in enumerate(stage.plan.guards):
        mean, other = (stage.cohorts.arms[arm].mean(n) for arm in ("canary", "stable"))
        if not (_enough(mean) and _enough(other)):
            continue
        half, apart = z * sqrt(mean.variance), z * sqrt(mean.variance + other.variance)
        difference = mean.value - other.value
        worse = against(guard, mean, other, stage.plan.alpha, stage.plan.tuned_at).high < 0
        yield MetricEstimate(
            name=guard.name,
            estimator="realised",
            value=mean.value,
            low=mean.value - half,
            high=mean.value + half,
            baseline=other.value,
            difference=difference,
            difference_low=difference - apart,
            difference_high=difference + apart,
            verdict=verdict if n == 0 else "fail" if worse else "pass",
        )


def _enough(mean: Mean | None) -> TypeGuard[Mean]:
    return mean is not None and mean.groups >= FEWEST_GROUPS
