"""From an application's settings to rules, and from a stage's cohorts to what guards make of it."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

from services.deployer.book import Entry, Standing, Watch
from services.deployer.reading import Metric, Staged
from shared.applications.contract import Application
from shared.applications.settings import GuardSettings
from shared.core.rollout.arms import Mean
from shared.core.rollout.cohorts import ArmName, Cohorts
from shared.core.rollout.degradation import Tolerated
from shared.core.rollout.facts import Health
from shared.core.rollout.guards import MISMATCH, Assessment, Guard, Plan, assess, plan_of
from shared.core.rollout.settings import DEFAULT, RolloutSettings, Stage

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
    return tuple(_guard(each) for each in _told(application))


def metrics(application: Application) -> tuple[Metric, ...]:
    """What guards look at in a reward, in their order."""
    rates = {each.name for each in application.settings.measures if each.attribute is None}
    return tuple(
        Metric(each.metric, each.at_most if each.quantile is not None else None, each.metric in rates)
        for each in _told(application)
    )


def _told(application: Application) -> tuple[GuardSettings, ...]:
    told = application.settings.guards
    reward = next((each for each in told if each.metric == "reward"), GuardSettings(metric="reward"))
    return (reward, *(each for each in told if each.metric != "reward"))


def _guard(told: GuardSettings) -> Guard:
    """A limit of a quantile is one of how many decisions are above it: a mean, as all the others."""
    if told.quantile is not None:
        name = f"{told.metric}_above_{told.at_most:g}"
        return Guard(name, False, told.tolerance, None, 1 - told.quantile, told.samples)
    return Guard(
        *(told.metric, told.higher_is_better, told.tolerance), told.at_least, told.at_most, told.samples
    )


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


def tolerated(application: Application) -> Tolerated | None:
    """How far the reward of what is stable may fall before people are told."""
    told = application.settings.rollout.degradation
    if told is None:
        return None
    window_ms = round(told.window.total_seconds() * 1000)
    return Tolerated(told.tolerance, window_ms, told.samples, application.settings.rollout.alpha)


def standing(application: Application, found: Standing) -> Staged:
    """What is read of the stable policy's rewards in a window."""
    reward = application.settings.reward
    wait, hold = (round(each.total_seconds() * 1000) for each in (reward.wait, reward.hold))
    watch = Watch("", "", found.policy, -1, found.since, found.offsets)
    kept = Cohorts(1, wait, hold, reward.emission == "on_interaction")
    return Staged(watch, None, (Metric("reward"),), kept)


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
