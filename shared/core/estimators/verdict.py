"""Pass, fail, inconclusive or refused: a target policy against its baseline, on every guarded metric."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.core.estimators.bootstrap import UNDEFINED, Interval
from shared.core.estimators.limits import Reason


class Verdict(StrEnum):
    """What an evaluation comes to."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    REFUSED = "refused"


@dataclass(frozen=True)
class Guard:
    """A metric that a candidate is judged on."""

    name: str
    higher_is_better: bool = True
    tolerance: float = 0.0
    """How much worse than the baseline passes, as a share of the baseline's absolute value. The reward's is
    zero: it must improve."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"tolerance of {self.name} is {self.tolerance!r}; it must be at least 0")


@dataclass(frozen=True)
class Judgement:
    """One metric's verdict."""

    guard: Guard
    baseline: float
    difference: float
    """Target less baseline."""
    interval: Interval
    """Of the difference."""
    verdict: Verdict
    reasons: tuple[Reason, ...]
    value: float = float("nan")
    """The target's own."""
    ends: Interval = UNDEFINED
    """Of the target's value."""


def judge(
    guard: Guard,
    baseline: float,
    difference: float,
    interval: Interval,
    decisions: int,
    refusals: Sequence[Reason] = (),
) -> Judgement:
    """Judge one metric by where the interval of its difference lies. `decisions` is how many it rests on."""
    if refusals:
        return Judgement(guard, baseline, difference, interval, Verdict.REFUSED, tuple(refusals))
    sign = 1.0 if guard.higher_is_better else -1.0
    least = -guard.tolerance * abs(baseline)
    low, high = sorted((sign * interval.low, sign * interval.high))
    verdict, reasons = Verdict.INCONCLUSIVE, tuple[Reason, ...]()
    if low > least:
        verdict = Verdict.PASS
    elif high < least:
        verdict = Verdict.FAIL
        detail = f"{guard.name}: even the interval's better end is worse than allowed"
        reasons = (Reason("worse-than-baseline", high, least, detail),)
    else:
        reasons = (_undecided(guard, sign * difference - least, (high - low) / 2, decisions),)
    return Judgement(guard, baseline, difference, interval, verdict, reasons)


def overall(judgements: Iterable[Judgement]) -> Verdict:
    """Return the verdict on all metrics: refused if one is, fail if one fails, pass if all pass.

    Passing asks for every metric at once, which needs no correction for their number (Berger 1982).
    """
    verdicts = {each.verdict for each in judgements}
    for first in (Verdict.REFUSED, Verdict.FAIL, Verdict.INCONCLUSIVE):
        if first in verdicts:
            return first
    return Verdict.PASS


def _undecided(guard: Guard, distance: float, half: float, decisions: int) -> Reason:
    further = further_decisions(distance, half, decisions)
    if further is None:
        told = "no number of decisions would tell them apart: the estimates are equal"
        return Reason("interval-holds-baseline", None, None, f"{guard.name}: {told}")
    told = f"about {further:,} further decisions would settle it, if the estimates stay where they are"
    return Reason("interval-holds-baseline", further, None, f"{guard.name}: {told}")


def further_decisions(distance: float, half: float, decisions: int) -> int | None:
    """Return how many decisions more would move the interval clear of what it is judged against.

    Its half-width falls with the root of their number. None if the distance is zero.
    """
    # A distance of rounding alone would ask for a number that says the same as none.
    if abs(distance) <= 1e-12 * max(1.0, half) or not math.isfinite(half):
        return None
    return max(1, math.ceil(decisions * ((half / distance) ** 2 - 1)))
