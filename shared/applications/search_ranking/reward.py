"""The reward of a search: what was done with products, by rank and price."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from shared.applications.columns import AttributeColumns, totals
from shared.applications.contract import Indices, Numbers, Rewards

NOTHING = -5.0
"""The reward of a search after which nothing was done."""
RANK_WEIGHTS = np.array([1, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05])
"""By rank from 1; the last one holds beyond rank 10 too."""
VALUES: Mapping[str, float] = {"click": 0.5, "wishlist": 2.0, "cart": 5.0, "purchase": 20.0}
"""What was done, from the weakest to the strongest, and its value."""
FULL_PRICE, MOST_FOR_PRICE = 1000.0, 3.0
"""A purchase counts price / 1000 times, at most 3 times; once where the price is not known."""
LOWEST, HIGHEST = -10.0, 100.0
"""Rewards beyond these are set aside before training."""
CUTOFFS = (5, 10)
GAIN_CUTOFF = 10
"""Ranks whose hits have a discounted gain."""


def evaluate(interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
    """Rewards of n searches: of the strongest that was done, the sum over its ranks.

    The components click, wishlist, cart, purchase and none add up to the reward. The others are facts about
    the same ranks: first_rank (0 for none), hits (how many), hits_at_5, hits_at_10, dcg_at_10 (the sum of
    1 / log2(1 + rank) over those up to 10), and revenue, known prices of purchases.
    """
    columns = AttributeColumns(interactions)
    ranks, prices = columns.numbers("rank", 1, whole=True), columns.numbers("price", 0)
    kinds = interactions["type"].replace_strict(
        {kind: i for i, kind in enumerate(VALUES)}, default=-1, return_dtype=pl.Int64
    )
    strength = kinds.to_numpy()
    counted = _counted(np.where(np.isnan(ranks), -1, strength), ranks, owner, n)
    owner, strength, ranks, prices = owner[counted], strength[counted], ranks[counted], prices[counted]
    worth = rank_weight(ranks) * np.array(list(VALUES.values()))[strength]
    bought = strength == len(VALUES) - 1
    worth = np.where(bought, worth * price_multiplier(prices), worth)
    parts = {kind: totals(np.where(strength == i, worth, 0.0), owner, n) for i, kind in enumerate(VALUES)}
    acted = np.bincount(owner, minlength=n) > 0
    parts["none"] = np.where(acted, 0.0, NOTHING)
    reward = np.sum(list(parts.values()), axis=0)
    first = np.full(n, np.inf)
    np.minimum.at(first, owner, ranks)
    facts = {"first_rank": np.where(acted, first, 0.0)}
    facts |= {f"hits_at_{k}": totals((ranks <= k).astype(np.float64), owner, n) for k in CUTOFFS}
    facts["hits"] = totals(np.ones_like(ranks), owner, n)
    discounts = np.where(ranks <= GAIN_CUTOFF, 1 / np.log2(1 + ranks), 0.0)
    facts[f"dcg_at_{GAIN_CUTOFF}"] = totals(discounts, owner, n)
    facts["revenue"] = totals(np.where(bought, np.nan_to_num(prices), 0.0), owner, n)
    return Rewards(reward, parts | facts)


def rank_weight(ranks: Numbers) -> Numbers:
    """Weights of 1-based ranks."""
    places = np.minimum(ranks, len(RANK_WEIGHTS)).astype(np.int64) - 1
    weights: Numbers = RANK_WEIGHTS[places]
    return weights


def price_multiplier(prices: Numbers) -> Numbers:
    """What a purchase at these prices is multiplied by; NaN is an unknown price."""
    return np.where(np.isnan(prices), 1.0, np.minimum(prices / FULL_PRICE, MOST_FOR_PRICE))


def usable(rewards: Numbers) -> np.ndarray:
    """Which rewards lie within [-10, 100], shape (n,) bool; a NaN does not."""
    return (rewards >= LOWEST) & (rewards <= HIGHEST)


def _counted(strength: Indices, ranks: Numbers, owner: Indices, n: int) -> Indices:
    """The rows that count, in their order: of each owner's strongest kind, the latest of each rank."""
    strongest = np.full(n, -1)
    np.maximum.at(strongest, owner, strength)
    mine = np.flatnonzero((strength >= 0) & (strength == strongest[owner]))
    # The first of each pair in the rows turned around is the latest.
    keys = np.stack([owner[mine].astype(np.float64), ranks[mine]], axis=1)[::-1]
    _, newest = np.unique(keys, axis=0, return_index=True)
    return np.sort(mine[::-1][newest])
