"""What guards make of a stage: breach, hold or good, however often they look.

Tests are confidence sequences, one-sided: a breach is told when the candidate is worse for sure, and the last
stage with two arms is left when it is better for sure. Neither promise wears off by looking all the time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.core.estimators.confidence_sequences import asymptotic_half_width, mixture_precision
from shared.core.rollout.arms import Arm, Mean
from shared.core.rollout.facts import Health
from shared.core.rollout.settings import RolloutSettings

FEWEST_EXPECTED = 5
"""Decisions due to the smaller arm before its share is tested: the usual rule for counts."""
LEAD = 0.5
"""Standard errors by which the reward must be ahead of what is asked before a candidate gets more subjects.
Not to be worse for sure is too little: early, everything is that."""
TUNED_SAMPLES = 500
"""Of the smaller arm, where a stage asks for none: that many do the default stages ask for."""
FEWEST_GROUPS = 30
"""Groups of subjects in each arm before the first test: normal limits ask for some tens."""
MISMATCH = "sample-ratio-mismatch"
RATIO_ALPHA = 0.001
"""Chance that arms which are assigned by their shares are ever called mismatched: the usual level for it."""


@dataclass(frozen=True)
class Guard:
    """A metric of the arms, by its place, that must not suffer."""

    name: str
    higher_is_better: bool = True
    tolerance: float = 0.0
    """How much worse than stable passes, as a share of stable's absolute value."""
    at_least: float | None = None
    at_most: float | None = None
    samples: int = 20
    """Values of the candidate before the limits count; until then no stage is left."""

    @property
    def limits(self) -> bool:
        """Whether it has hard limits."""
        return self.at_least is not None or self.at_most is not None


@dataclass(frozen=True)
class Plan:
    """How a stage is judged."""

    share: float
    guards: tuple[Guard, ...]
    """The reward first."""
    alpha: float
    """Chance, in this stage, of a breach without harm; guards share it equally."""
    tuned_at: float
    """Decisions of both arms at which tests are sharpest."""
    proves: bool = False
    """Whether the stage is left only when the reward is better than stable's for sure, less the tolerance."""


def plan_of(settings: RolloutSettings, stage: int, guards: tuple[Guard, ...], alpha: float) -> Plan:
    """Return how a stage is judged: alpha is shared by all stages with two arms, of which the last proves."""
    both = [n for n, each in enumerate(settings.stages) if 0 < each.share < 1]
    chosen = settings.stages[stage]
    smaller = min(chosen.share, 1 - chosen.share)
    return Plan(
        share=chosen.share,
        guards=guards,
        alpha=alpha / max(1, len(both)),
        tuned_at=(chosen.samples or TUNED_SAMPLES) / (smaller or 1.0),
        proves=bool(both) and stage == both[-1],
    )


@dataclass(frozen=True)
class Bound:
    """A difference, candidate less what is asked of it, in the direction that is better; and its bounds."""

    difference: float
    low: float
    """The truth is below it with a chance of at most alpha, however often one looks."""
    high: float
    error: float
    """Standard error."""


@dataclass(frozen=True)
class Assessment:
    """What guards make of a stage now."""

    health: Health
    samples: int
    """Of the smaller arm."""
    reason: str = ""
    """Slug of what holds or breaks; empty if nothing does."""
    cause: str = ""
    """In a sentence."""
    numbers: Mapping[str, float] = field(default_factory=dict)


def one_sided_half_width(variance: float, count: float, alpha: float, tuned_at: float) -> float:
    """Return how far below the mean the lower end of a one-sided asymptotic confidence sequence lies
    (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, proposition B.1; the boundary is the one-sided
    normal mixture of Howard, Ramdas, McAuliffe and Sekhon 2021).

    Arguments are those of `asymptotic_half_width`; alpha is the chance of ever missing on this side.
    """
    if count <= 0 or not math.isfinite(variance):
        return math.inf
    rho = count * mixture_precision(min(2 * alpha, 0.5), tuned_at)
    return math.sqrt(variance * 2 * (rho + 1) * math.log1p(math.sqrt(rho + 1) / (2 * alpha)) / (count * rho))


def against(guard: Guard, candidate: Mean, stable: Mean, alpha: float, tuned_at: float) -> Bound:
    """Compare a candidate with what is asked of it: stable's mean, less the tolerance."""
    sign = 1.0 if guard.higher_is_better else -1.0
    asked = 1.0 - sign * guard.tolerance * math.copysign(1.0, stable.value)
    difference = sign * (candidate.value - asked * stable.value)
    variance = candidate.variance + asked**2 * stable.variance
    count = candidate.count + stable.count
    half = one_sided_half_width(variance * count, count, alpha, tuned_at)
    return Bound(difference, difference - half, difference + half, math.sqrt(variance))


def limit_broken(guard: Guard, candidate: Mean) -> str | None:
    """Return which hard limit the candidate's mean breaks, in words."""
    if candidate.count < guard.samples:
        return None
    if guard.at_least is not None and candidate.value < guard.at_least:
        return f"{guard.name}: mean {candidate.value:.4g} of the candidate is below {guard.at_least:g}"
    if guard.at_most is not None and candidate.value > guard.at_most:
        return f"{guard.name}: mean {candidate.value:.4g} of the candidate is above {guard.at_most:g}"
    return None


def ratio_bound(candidate: Arm, stable: Arm, share: float, tuned_at: float) -> tuple[float, float] | None:
    """Return the candidate's share of decisions, and how far it may be from `share`; None: too early.

    Subjects are assigned, not decisions, so the variance is that over groups of subjects, and at least
    that of an assignment by shares.
    """
    both = candidate.decisions + stable.decisions
    total, groups = float(both.sum()), int((both > 0).sum())
    if groups < FEWEST_GROUPS or total * min(share, 1 - share) < FEWEST_EXPECTED:
        return None
    variance = float(((candidate.decisions - share * both) ** 2).sum()) / total
    fair = share * (1 - share) * float((both**2).sum()) / total
    half = asymptotic_half_width(max(variance, fair), total, RATIO_ALPHA, tuned_at)
    return float(candidate.decisions.sum()) / total, half


def assess(plan: Plan, candidate: Arm, stable: Arm, record: Sequence[Mean | None] = ()) -> Assessment:
    """Judge a stage by its arms.

    At share 1 nobody is given stable: hard limits alone can be broken. `record`, the means that stable had
    in the last stage with two arms, holds the stage if they are not reached: another time proves no harm.
    """
    alone = plan.share >= 1
    samples = candidate.count if alone else min(candidate.count, stable.count)
    found = Assessment(Health.GOOD, samples, numbers=_numbers(plan, candidate, stable))
    others = list(record) if alone else [stable.mean(n) for n in range(len(plan.guards))]
    others += [None] * (len(plan.guards) - len(others))
    alpha = plan.alpha / len(plan.guards)
    held = None if alone else _mismatch(plan, candidate, stable, found)
    for n, guard in enumerate(plan.guards):
        mean, other = candidate.mean(n), others[n]
        if mean is not None and (words := limit_broken(guard, mean)):
            return replace(found, health=Health.BREACH, reason="limit", cause=words)
        if mean is not None and guard.limits and mean.count < guard.samples:
            few = f"{guard.name}: {mean.count:.0f} of the {guard.samples} values that its limit asks for"
            held = held or _hold(found, "few-samples", few)
        if mean is None:
            held = held or _hold(found, "missing-data", f"{guard.name}: the candidate has no value yet")
        elif alone and other is None:
            continue
        elif other is None or min(mean.groups, other.groups) < FEWEST_GROUPS:
            few = f"{guard.name}: fewer than {FEWEST_GROUPS} groups of subjects in an arm"
            held = held or _hold(found, "too-few-subjects", few)
        else:
            bound = against(guard, mean, other, alpha, plan.tuned_at)
            judged = _judge(plan, guard, n, mean, other, bound, found)
            if judged and judged.health is Health.BREACH:
                return judged
            held = held or judged
    return held or found


def _judge(
    plan: Plan, guard: Guard, place: int, mean: Mean, other: Mean, bound: Bound, found: Assessment
) -> Assessment | None:
    told = f"{guard.name}: {mean.value:.4g} of the candidate, {other.value:.4g} of stable"
    numbers = {**found.numbers, "difference": bound.difference, "low": bound.low, "high": bound.high}
    if bound.high < 0:
        worse = f"{told}; worse than allowed by at least {-bound.high:.4g}"
        if plan.share < 1:
            return replace(found, health=Health.BREACH, reason="worse", cause=worse, numbers=numbers)
        return replace(_hold(found, "worse-than-record", f"{worse}, before this stage"), numbers=numbers)
    if place > 0 or plan.share >= 1:
        return None
    if plan.proves and against(guard, mean, other, plan.alpha, plan.tuned_at).low <= 0:
        return replace(_hold(found, "not-proven", f"{told}; not better for sure yet"), numbers=numbers)
    if bound.difference < LEAD * bound.error:
        return replace(_hold(found, "not-leading", f"{told}; not ahead yet"), numbers=numbers)
    return None


def _mismatch(plan: Plan, candidate: Arm, stable: Arm, found: Assessment) -> Assessment | None:
    ratio = ratio_bound(candidate, stable, plan.share, plan.tuned_at)
    if ratio is None or abs(ratio[0] - plan.share) <= ratio[1]:
        return None
    told = f"the candidate has {ratio[0]:.2%} of decisions where {plan.share:.2%} are due"
    numbers = {**found.numbers, "ratio": ratio[0], "due": plan.share, "half_width": ratio[1]}
    return replace(_hold(found, MISMATCH, told), numbers=numbers)


def _hold(found: Assessment, reason: str, cause: str) -> Assessment:
    return replace(found, health=Health.UNSURE, reason=reason, cause=cause)


def _numbers(plan: Plan, candidate: Arm, stable: Arm) -> dict[str, float]:
    numbers = {"samples_canary": float(candidate.count), "samples_stable": float(stable.count)}
    for n, guard in enumerate(plan.guards):
        for arm, name in ((candidate, "canary"), (stable, "stable")):
            if (mean := arm.mean(n)) is not None:
                numbers[f"{guard.name}_{name}"] = mean.value
    return numbers
