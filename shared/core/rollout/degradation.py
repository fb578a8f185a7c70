"""Whether what is stable still earns what it earned when it became stable, however long one watches."""

import math
from dataclasses import dataclass

from shared.core.rollout.arms import Mean
from shared.core.rollout.guards import FEWEST_GROUPS, Bound, Guard, against


@dataclass(frozen=True)
class Tolerated:
    """How far the mean reward may fall before people are told."""

    tolerance: float
    """As a share of the absolute value of what was earned at first."""
    window_ms: int
    """A later fall would drown in the mean of all that was earned before: each window is tested alone."""
    samples: int
    """Rewards without which a window says nothing."""
    alpha: float
    """Chance that people are ever told of what has not fallen, over all windows and looks."""


def tells(mean: Mean | None, told: Tolerated) -> bool:
    """Whether a window's mean says something."""
    return (
        mean is not None
        and mean.count >= told.samples
        and mean.groups >= FEWEST_GROUPS
        and math.isfinite(mean.variance)
    )


def fall(reference: Mean, recent: Mean, number: int, told: Tolerated) -> Bound:
    """Compare window `number` (from 1) with the first: it is worse for sure where `high` is below 0.

    Each window has a confidence sequence of its own, with the share 6 / (pi number)^2 of alpha, which
    sum to one.
    """
    alpha = told.alpha * 6 / (math.pi * number) ** 2
    guard = Guard("reward", tolerance=told.tolerance)
    return against(guard, recent, reference, alpha, 2 * told.samples)
