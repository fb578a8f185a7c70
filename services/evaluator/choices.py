"""What each decision could choose from, what it chose, and with which probability it says so."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.core.arrays import Floats

#: Between the names of a list that is made a key: no name can hold it, and stay distinct, on purpose.
_BETWEEN = "\x1f"
SUM_TOLERANCE = 1e-6
"""How far logged probabilities may be from one: other deciders log rounded ones."""


@dataclass(frozen=True, eq=False)
class Choices:
    """n decisions over the k actions that appear among them."""

    names: list[str]
    chosen: NDArray[np.int64]
    """(n,), position of the logged action in `names`."""
    offered: NDArray[np.bool_]
    """(n, k)."""
    logged: Floats
    """(n, k), the distribution that the decision was drawn from; a row of NaN where it is not logged, or was
    drawn beside another arm's: what this one never takes, the other may."""
    sound: NDArray[np.bool_]
    """(n,), whether the logged propensity is one, and is what the logged probabilities say, if they do."""

    def under(self, actions: Sequence[str], probabilities: Floats) -> Floats:
        """Spread a policy's distributions (n, its actions) over `names`, as it would choose here.

        An action that was not offered cannot be taken, so a distribution is conditioned on what was offered:
        what a decision API does with it. One that the policy does not know it never takes. Rows in which it
        knows none of the offered actions are NaN: it cannot decide there.
        """
        found = np.zeros(self.offered.shape)
        place = {name: position for position, name in enumerate(self.names)}
        found[:, [place[name] for name in actions]] = probabilities
        found *= self.offered
        total = found.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(found / total)


def choices(frame: pl.DataFrame, known: Sequence[str], actions: Sequence[str]) -> Choices:
    """Read the choices of a frame's rows.

    Args:
        frame: rows with action, propensity, mixture_propensity, actions and probabilities.
        known: the actions of the policy in question; first among the result's names, all of them.
        actions: the application's full list, which an empty list of a row stands for.
    """
    offered_lists = list(_groups(frame, actions))
    names = list(dict.fromkeys([*known, *(name for listed, _ in offered_lists for name in listed)]))
    names = list(dict.fromkeys([*names, *frame["action"].unique(maintain_order=True).to_list()]))
    place = {name: position for position, name in enumerate(names)}
    chosen = frame["action"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    offered = np.zeros((frame.height, len(names)), dtype=bool)
    logged = np.full(offered.shape, np.nan)
    stated, total = np.full(frame.height, np.nan), np.full(frame.height, np.nan)
    for listed, rows in offered_lists:
        columns = np.array([place[name] for name in listed], np.int64)
        offered[np.ix_(rows, columns)] = True
        _state(frame, listed, rows, stated, total, logged, columns)
    return Choices(names, chosen, offered, logged, _sound(frame, chosen, offered, stated, total))


def _groups(frame: pl.DataFrame, actions: Sequence[str]) -> Iterator[tuple[list[str], NDArray[np.int64]]]:
    """Each list of offered actions, and the rows that it was offered in."""
    keyed = frame.select(pl.col("actions").list.join(_BETWEEN).alias("key"), pl.col("actions"))
    rows = (
        keyed.with_row_index("row")
        .group_by("key", maintain_order=True)
        .agg(pl.col("row"), pl.col("actions").first())
    )
    for listed, found in zip(rows["actions"].to_list(), rows["row"], strict=True):
        yield listed or list(actions), found.to_numpy().astype(np.int64)


def _state(
    frame: pl.DataFrame,
    listed: Sequence[str],
    rows: NDArray[np.int64],
    stated: Floats,
    total: Floats,
    distributions: Floats,
    columns: NDArray[np.int64],
) -> None:
    """Fill in what rows that were offered this list log: the chosen action's probability, the sum of all, and
    all."""
    part = frame[rows]
    full = (part["probabilities"].list.len() == len(listed)).to_numpy()
    some = (part["probabilities"].list.len() > 0).to_numpy()
    total[rows[some & ~full]] = 0.0  # as many probabilities as actions, or none: anything else is broken
    if not full.any() or not listed:
        return
    logged = part.filter(full)
    matrix = logged["probabilities"].explode(empty_as_null=True, keep_nulls=True).to_numpy()
    matrix = matrix.reshape(-1, len(listed))
    place = {name: position for position, name in enumerate(listed)}
    chosen = logged["action"].replace_strict(place, default=-1, return_dtype=pl.Int64).to_numpy()
    taken = np.where(chosen >= 0, matrix[np.arange(len(matrix)), chosen], 0.0)
    stated[rows[full]], total[rows[full]] = taken, matrix.sum(axis=1)
    alone = logged["mixture_propensity"].is_null().to_numpy()
    own = rows[full][alone]
    distributions[own] = 0.0
    distributions[np.ix_(own, columns)] = matrix[alone]


def _sound(
    frame: pl.DataFrame,
    chosen: NDArray[np.int64],
    offered: NDArray[np.bool_],
    stated: Floats,
    total: Floats,
) -> NDArray[np.bool_]:
    propensity = frame["propensity"].to_numpy()
    mixture = weighed_by(frame)
    sound = (propensity > 0) & (propensity <= 1) & (mixture > 0) & (mixture <= 1)
    sound &= offered[np.arange(len(chosen)), chosen]
    silent = np.isnan(total)
    agrees = np.isclose(stated, propensity, rtol=1e-9, atol=0) & (np.abs(total - 1) <= SUM_TOLERANCE)
    return np.asarray(sound & (silent | agrees))


def weighed_by(frame: pl.DataFrame) -> Floats:
    """(n,) the propensity of each logged action: within a rollout that of both arms together, which is the
    balance heuristic of `shared.core.estimators.mixtures` with the arms' shares; else the policy's own."""
    return frame["mixture_propensity"].fill_null(frame["propensity"]).to_numpy()
