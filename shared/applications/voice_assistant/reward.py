"""The reward of a call: resolved, well rated, undisturbed and short."""

import numpy as np
import polars as pl

from shared.applications.columns import AttributeColumns, latest
from shared.applications.contract import Indices, Numbers, Rewards

RESOLVED, RATED, DISTURBED, LASTED = 0.6, 0.2, 0.1, 0.2
"""Weights of resolution; of the rating; of barge-ins, of repeats and of a handover; of the duration."""
MOST_DISTURBANCES = 3
"""Barge-ins, or repeats, beyond which more of them cost no more."""
GOOD_DURATION_S = 180.0
"""The duration that is worth most."""


def evaluate(interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
    """Rewards in [-1, 1] of n calls, from the latest value of each signal; an absent one adds nothing."""
    columns = AttributeColumns(interactions)

    def signal(name: str, low: float, high: float, neutral: float, *, whole: bool = True) -> Numbers:
        values = latest(columns.numbers(name, low, high, whole=whole), owner, n)
        return np.where(np.isnan(values), neutral, values)

    def disturbances(name: str) -> Numbers:
        counted = np.minimum(signal(name, 0, np.inf, 0), MOST_DISTURBANCES)
        return -DISTURBED * counted / MOST_DISTURBANCES

    components = {
        "resolution": RESOLVED * signal("resolution", 0, 1, 0),
        "rating": RATED * (signal("user_rating", 1, 5, 3) - 3) / 2,
        "barge_in": disturbances("barge_in_count"),
        "repeats": disturbances("repeats"),
        "handover": -DISTURBED * signal("handover", 0, 1, 0),
        "duration": duration_bonus(signal("duration_sec", -np.inf, np.inf, 0, whole=False)),
    }
    # Minus zero is a zero that reads badly.
    components = {name: values + 0.0 for name, values in components.items()}
    total = np.sum(list(components.values()), axis=0)
    return Rewards(np.clip(total, -1, 1), components)


def duration_bonus(seconds: Numbers) -> Numbers:
    """Rises to .2 at 180 s, then falls as fast, not below -.2; 0 for no duration."""
    with np.errstate(over="ignore"):
        falling = np.maximum(LASTED * (1 - (seconds - GOOD_DURATION_S) / GOOD_DURATION_S), -LASTED)
    rising = LASTED * np.clip(seconds, 0, GOOD_DURATION_S) / GOOD_DURATION_S
    return np.where(seconds <= GOOD_DURATION_S, rising, falling)
