"""The reward of an answer: what its latest feedback says."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from shared.applications.contract import Indices, Rewards

FEEDBACK: Mapping[str, float] = {"thumbs_up": 1.0, "thumbs_down": -1.0, "correction": -1.0}
"""What each type is worth; a rating r is worth (r - 3) / 2."""
RATING = "rating"
STARS = (1, 2, 3, 4, 5)
PARTS = {"thumbs": ("thumbs_up", "thumbs_down"), RATING: (RATING,), "correction": ("correction",)}
"""Component → types that it is made of."""


def evaluate(interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
    """Rewards in [-1, 1] of n decisions; other types, and ratings that are none, do not count."""
    types = interactions["type"]
    stars = interactions["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    rated = (types == RATING).to_numpy()
    worth = types.replace_strict(FEEDBACK, default=np.nan, return_dtype=pl.Float64).to_numpy()
    worth = np.where(rated & np.isin(stars, STARS), (stars - 3) / 2, worth)
    counted = np.flatnonzero(~np.isnan(worth))
    last = np.full(n, -1)
    last[owner[counted]] = counted
    heard = last >= 0
    reward = np.zeros(n)
    reward[heard] = worth[last[heard]]
    components = {}
    for name, kinds in PARTS.items():
        of_kind = np.zeros(n, bool)
        of_kind[heard] = types.is_in(list(kinds)).to_numpy()[last[heard]]
        components[name] = np.where(of_kind, reward, 0.0)
    return Rewards(reward, components)
