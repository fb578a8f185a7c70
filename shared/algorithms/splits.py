"""Seeded splits, always by group (subject, query, question), so that nothing of a group is on both sides."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.core.arrays import Bools


def folds(groups: Sequence[object] | pl.Series, count: int, seed: int) -> NDArray[np.int64]:
    """Return the fold, 0..count-1, of each row (n,): groups in seeded order, dealt round."""
    labels = groups if isinstance(groups, pl.Series) else pl.Series(groups)
    codes = labels.rank("dense").to_numpy().astype(np.int64) - 1
    distinct = int(codes.max()) + 1 if len(codes) else 0
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(distinct)
    dealt = np.empty(distinct, np.int64)
    dealt[order] = np.arange(distinct) % count
    return np.asarray(dealt[codes])


def held_out(groups: Sequence[object] | pl.Series, share: float, seed: int) -> Bools:
    """Return which rows (n,) are held out: those of `share` of the groups, at least one, never all."""
    labels = groups if isinstance(groups, pl.Series) else pl.Series(groups)
    codes = labels.rank("dense").to_numpy().astype(np.int64) - 1
    distinct = int(codes.max()) + 1 if len(codes) else 0
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(distinct)
    taken = np.zeros(distinct, bool)
    taken[order[: min(max(1, round(share * distinct)), max(distinct - 1, 0))]] = True
    return np.asarray(taken[codes])
