"""What a test of variants shows so far: means with confidence sequences, and a sequential test of each.

Looking always, and stopping whenever one likes, is allowed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.confidence_sequences import asymptotic_half_width, mixture_precision
from shared.core.rollout.arms import Arm, Mean
from shared.core.rollout.guards import FEWEST_GROUPS, ratio_bound

Verdict = Literal["control", "better", "worse", "undecided", "mismatch"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
EVERYWHERE = Interval(-math.inf, math.inf)


@dataclass(frozen=True)
class Difference:
    """A variant's mean less the control's."""

    value: float
    interval: Interval
    """The chance that it ever misses the truth, for any of the variants, is at most alpha."""
    p_value: float
    """Of no difference, valid whenever one looks; not corrected for the number of variants."""


@dataclass(frozen=True)
class Standing:
    """What is known of one variant."""

    decisions: int
    groups: int
    """Groups of subjects."""
    mean: float | None
    interval: Interval
    difference: Difference | None
    """None for the control, and while one of both has too few subjects."""
    verdict: Verdict


def standings(
    arms: Mapping[str, Arm],
    shares: Mapping[str, float],
    control: str,
    *,
    metric: int,
    alpha: float,
    tuned_at: float,
) -> dict[str, Standing]:
    """Judge every variant by one metric, of which more is better.

    Args:
        arms: sums of each variant.
        shares: parts of the subjects that the variants should have.
        control: the variant that the others are compared with.
        metric: its place in the arms.
        alpha: chance that any difference's interval is ever wrong; shared equally by the comparisons.
        tuned_at: decisions of two variants together at which their test is sharpest.
    """
    each_alpha = alpha / max(1, len(arms) - 1)
    reference = arms[control].mean(metric)
    found = {}
    for name, arm in arms.items():
        mean = arm.mean(metric)
        difference = None
        if name != control and mean is not None and reference is not None:
            difference = _difference(mean, reference, each_alpha, tuned_at)
        verdict: Verdict = "control" if name == control else _verdict(difference)
        if _mismatched(arm, arms, shares[name], tuned_at):
            verdict = "mismatch"
        found[name] = Standing(
            decisions=arm.count,
            groups=mean.groups if mean else 0,
            mean=mean.value if mean else None,
            interval=_interval(mean, alpha, tuned_at),
            difference=difference,
            verdict=verdict,
        )
    return found


def always_valid_p_value(
    difference: float, variance: float, count: float, alpha: float, tuned_at: float
) -> float:
    """Return the p-value that goes with `asymptotic_half_width`: the level at which its interval ends at 0
    (Johari, Koomen, Pekelis and Walsh 2022: one over the mixture martingale).

    `variance` is of one value, `count` values; the mixture is tuned by `alpha` and `tuned_at`.
    """
    if count <= 0 or not math.isfinite(variance):
        return 1.0
    rho = count * mixture_precision(alpha, tuned_at)
    if variance == 0:
        return 1.0 if difference == 0 else 0.0
    exponent = -count * difference**2 * rho / (2 * variance * (rho + 1))
    return min(1.0, math.sqrt(rho + 1) * math.exp(exponent))


def _difference(mean: Mean, control: Mean, alpha: float, tuned_at: float) -> Difference | None:
    if min(mean.groups, control.groups) < FEWEST_GROUPS:
        return None
    value, count = mean.value - control.value, mean.count + control.count
    variance = (mean.variance + control.variance) * count
    half = asymptotic_half_width(variance, count, alpha, tuned_at)
    p_value = always_valid_p_value(value, variance, count, alpha, tuned_at)
    return Difference(value, Interval(value - half, value + half), p_value)


def _interval(mean: Mean | None, alpha: float, tuned_at: float) -> Interval:
    if mean is None or mean.groups < FEWEST_GROUPS:
        return EVERYWHERE
    half = asymptotic_half_width(mean.variance * mean.count, mean.count, alpha, tuned_at)
    return Interval(mean.value - half, mean.value + half)


def _verdict(difference: Difference | None) -> Verdict:
    if difference is None or difference.interval.low <= 0 <= difference.interval.high:
        return "undecided"
    return "better" if difference.value > 0 else "worse"


def _mismatched(arm: Arm, arms: Mapping[str, Arm], share: float, tuned_at: float) -> bool:
    """Whether a variant has a share of the decisions that its share of the subjects does not explain."""
    others = Arm(0)
    for each in arms.values():
        others.decisions += each.decisions
    others.decisions -= arm.decisions
    bound = ratio_bound(arm, others, share, tuned_at)
    return bound is not None and abs(bound[0] - share) > bound[1]
