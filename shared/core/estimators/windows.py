"""Whether compared decisions are recent, closed and of the same time."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.estimators.limits import Limits, Reason


@dataclass(frozen=True)
class Window:
    """When the decisions of a cohort were made, in seconds of one clock."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """In seconds."""
        return self.end - self.start


def age_reasons(window: Window, now: float, limits: Limits) -> Iterator[Reason]:
    """Yield a reason if the newest decision is too old."""
    if (age := now - window.end) > limits.oldest_s:
        detail = f"the newest decision is {age:.0f} s old"
        yield Reason("stale-window", age, limits.oldest_s, detail)


def overlap_reasons(one: Window, other: Window, limits: Limits) -> Iterator[Reason]:
    """Yield a reason if two cohorts are of different times."""
    shared = max(0.0, min(one.end, other.end) - max(one.start, other.start))
    longest = max(one.length, other.length)
    share = shared / longest if longest > 0 else float(one == other)
    if share < limits.overlap:
        detail = "share of the longer window that both cohorts cover"
        yield Reason("one-sided-window", share, limits.overlap, detail)


def closing_reasons(window: Window, closed_until: float) -> Iterator[Reason]:
    """Yield a reason if rewards of some decisions can still come: those that came early would count alone."""
    if window.end > closed_until:
        detail = "the window reaches past the newest decision whose reward is final, by this many seconds"
        yield Reason("open-window", window.end - closed_until, 0.0, detail)
