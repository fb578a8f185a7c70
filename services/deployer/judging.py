"""From an application's settings to rules, and from a stage's cohorts to what guards make of it."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

from services.deployer.book import Book, Entry, Watch
from shared.applications.contract import Application
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.rollout.arms import Arm, Mean
from shared.core.rollout.cohorts import ArmName, Cohorts
from shared.core.rollout.facts import Health
from shared.core.rollout.guards import MISMATCH, Assessment, Guard, Plan, against, assess, plan_of
from shared.core.rollout.settings import DEFAULT, RolloutSettings, Stage
from shared.wire.rollouts import Evaluation, MetricEstimate, Reason, Verdict
from shared.wire.training import Span

_SHADOW: Mapping[str, Health] = {"pass": Health.GOOD, "fail": Health.BREACH}


def rollout_settings(application: Application) -> RolloutSettings:
    """What the state machine asks for. Raises ValueError."""
    told = application.settings.rollout
    stages = tuple(Stage(s.name, s.share, s.bake.total_seconds(), s.samples) for s in told.stages)
    blocks = told.breach_blocks
    return RolloutSettings(
        stages=stages or DEFAULT,
        longest_s=told.longest.total_seconds(),
        supersede=told.supersede,
        breach_blocks_s=None if blocks is None else blocks.total_seconds(),
    )


def guards(application: Application) -> tuple[Guard, ...]:
    """The reward, then what the settings guard."""
    told = [
        Guard(each.metric, each.higher_is_better, each.tolerance, each.at_least, each.at_most, each.samples)
        for each in application.settings.guards
    ]
    reward = next((each for each in told if each.name == "reward"), Guard("reward"))
    return (reward, *(each for each in told if each.name != "reward"))


def plan(application: Application, stage: int) -> Plan:
    """How a stage is judged."""
    alpha = application.settings.rollout.alpha
    return plan_of(rollout_settings(application), stage, guards(application), alpha)


def cohorts(application: Application) -> Cohorts:
    """Empty ones for a stage."""
    reward = application.settings.reward
    return Cohorts(
        len(guards(application)),
        round(reward.wait.total_seconds() * 1000),
        round(reward.hold.total_seconds() * 1000),
        reward.emission == "on_interaction",
    )


def shadow(entry: Entry) -> Assessment:
    """The health of a candidate that nobody sees: its newest evaluation's."""
    health = _SHADOW.get(entry.verdict, Health.UNSURE)
    if health is Health.GOOD:
        return Assessment(health, entry.decisions)
    told = f"the newest evaluation says {entry.verdict}: {entry.detail}"
    return Assessment(health, entry.decisions, f"evaluation-{entry.verdict}", told)


def judge(plan: Plan, found: Cohorts, watch: Watch, now: int, quiet_ms: int) -> Assessment:
    """What guards make of a stage with users; an arm that has been silent for too long holds it."""
    judged = assess(plan, found.arms["canary"], found.arms["stable"], watch.record)
    if judged.health is Health.BREACH or judged.reason == MISMATCH:
        return judged
    awaited: tuple[ArmName, ...] = ("canary",) if plan.share >= 1 else ("canary", "stable")
    for arm in awaited:
        latest = max(found.latest[arm], watch.since)
        if now - latest > quiet_ms:
            told = f"no rewards of decisions of the {arm} arm for {(now - latest) / 1000:.0f} s"
            return replace(judged, health=Health.UNSURE, reason="missing-data", cause=told)
        if not found.latest[arm]:
            return replace(judged, health=Health.UNSURE, reason="", cause="")
    return judged


def means(found: Cohorts | None, number: int) -> tuple[Mean | None, ...]:
    """Stable's means, as far as they say something."""
    if found is None:
        return (None,) * number
    each = (found.arms["stable"].mean(n) for n in range(number))
    return tuple(mean if mean and isfinite(mean.variance) else None for mean in each)


def realised(
    book: Book,
    ended: Watch,
    plan: Plan,
    found: Cohorts,
    verdict: Verdict,
    number: int,
    ends: Mapping[int, int],
    stage: str,
    now: int,
) -> Evaluation:
    """What a finished stage says of its candidate, beside what was predicted.

    `number` is that of the transition which ended it.
    """
    entry = book.entries[ended.policy]
    canary, stable = found.arms["canary"], found.arms["stable"]
    told = (
        Reason(
            f"predicted-{each.metric}",
            f"{each.estimator} of evaluation {entry.evaluation_id}, in [{each.low}, {each.high}]",
            each.value,
        )
        for each in entry.predictions
    )
    return Evaluation(
        evaluation_id=f"{book.application}-stage-{number}",
        application=book.application,
        candidate_id=ended.policy,
        kind="stage",
        verdict=verdict,
        at=now,
        algorithm=entry.deployed.algorithm,
        artefact=entry.deployed.artefact,
        manifest_sha256=entry.deployed.manifest_sha256,
        baseline=ended.stable,
        reasons=(Reason("stage", stage, plan.share), *told),
        decisions=canary.count + stable.count,
        effective_sample_size=float(canary.count),
        max_weight=1.0,
        metrics=_estimates(plan, canary, stable, ended, verdict),
        data=tuple(
            Span(partition, first, ends[partition])
            for partition, first in sorted(ended.offsets.items())
            if ends.get(partition, 0) > first
        ),
    )


def _estimates(
    plan: Plan, canary: Arm, stable: Arm, ended: Watch, verdict: Verdict
) -> tuple[MetricEstimate, ...]:
    made = []
    for n, guard in enumerate(plan.guards):
        mean = canary.mean(n)
        other = stable.mean(n) or (ended.record[n] if n < len(ended.record) else None)
        if mean is None or other is None or not isfinite(mean.variance + other.variance):
            continue
        half = _half(mean, plan)
        apart = replace(mean, variance=mean.variance + other.variance, count=mean.count + other.count)
        difference = mean.value - other.value
        wide = _half(apart, plan)
        bound = against(guard, mean, other, plan.alpha, plan.tuned_at)
        made.append(
            MetricEstimate(
                name=guard.name,
                estimator="realised",
                value=mean.value,
                low=mean.value - half,
                high=mean.value + half,
                baseline=other.value,
                difference=difference,
                difference_low=difference - wide,
                difference_high=difference + wide,
                verdict=verdict if n == 0 else "fail" if bound.high < 0 else "pass",
            )
        )
    return tuple(made)


def _half(mean: Mean, plan: Plan) -> float:
    return asymptotic_half_width(mean.variance * mean.count, mean.count, plan.alpha, plan.tuned_at)
