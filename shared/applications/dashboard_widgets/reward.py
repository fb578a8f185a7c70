"""The reward of a widget: what its latest rating says."""

import numpy as np
import polars as pl

from shared.applications.columns import AttributeColumns, latest
from shared.applications.contract import Indices, Rewards

RATING = "rating"
"""The type of interactions."""
RATINGS = {"up": 1.0, "down": -1.0}


def evaluate(interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
    """1, -1, or 0 where no interaction of type rating says up or down."""
    ratings = pl.Series(AttributeColumns(interactions).texts("rating"), dtype=pl.String)
    worth = ratings.replace_strict(RATINGS, default=np.nan, return_dtype=pl.Float64).to_numpy()
    rated = (interactions["type"] == RATING).to_numpy()
    reward = np.nan_to_num(latest(np.where(rated, worth, np.nan), owner, n))
    return Rewards(reward, {"up": np.maximum(reward, 0.0), "down": np.minimum(reward, 0.0)})
