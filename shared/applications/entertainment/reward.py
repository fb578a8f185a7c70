"""The reward of what a listener did; several interactions of one decision add up."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from shared.applications.columns import AttributeColumns, totals
from shared.applications.contract import Indices, Numbers, Rewards
from shared.applications.entertainment.moods import MOODS

INTERACTIONS: Mapping[str, float] = {
    "like": 1.0,
    "dislike": -1.0,
    "complete": 0.5,
    "skip": -0.3,
    "share": 0.8,
    "play": 0.2,
    "view": 0.2,
}
"""What each type is worth; in the stream, other types add nothing."""
COMPLETED = 0.5
"""What 100 % are worth."""
MOOD = 0.5
"""What a mood that is better by 2 or more is worth."""
SHORT_S, UNIT_S, MOST_FOR_DURATION = 30.0, 600.0, 0.3
"""Up to SHORT_S seconds are worth nothing, then one for every UNIT_S, up to a most."""


def evaluate(interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
    """Rewards of n decisions: sums over their interactions."""
    columns = AttributeColumns(interactions)
    types = interactions["type"]
    counted = types.is_in(list(INTERACTIONS)).to_numpy()
    parts = {
        "interaction": types.replace_strict(INTERACTIONS, default=0.0, return_dtype=pl.Float64).to_numpy(),
        "completion": np.nan_to_num(columns.numbers("completion_percentage", 0, 100)) / 100 * COMPLETED,
        "mood": _mood(columns.texts("mood_before"), columns.texts("mood_after")),
        "duration": duration_bonus(np.nan_to_num(columns.numbers("duration_seconds", 0))),
    }
    components = {name: totals(np.where(counted, each, 0.0), owner, n) for name, each in parts.items()}
    return Rewards(np.sum(list(components.values()), axis=0), components)


def duration_bonus(seconds: Numbers) -> Numbers:
    """min(.3, duration / 600) beyond 30 seconds."""
    bonus: Numbers = np.where(seconds > SHORT_S, np.minimum(MOST_FOR_DURATION, seconds / UNIT_S), 0.0)
    return bonus


def _mood(before: list[str | None], after: list[str | None]) -> Numbers:
    """0 where one of the two is not known."""
    changes = [
        0.0 if b is None or a is None else (MOODS.get(a, 0) - MOODS.get(b, 0)) / 2
        for b, a in zip(before, after, strict=True)
    ]
    return MOOD * np.clip(np.array(changes, np.float64), -1, 1)
