"""What products call success, by session, pair or answer: conversion, quality of rankings, preference.

Each function gives one number for each of n rows; `mean` (of revenue by session too, which is such a number
as it is) turns rows into a figure with its interval, subjects resampled whole if there are any.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Bootstrap, Columns, Interval
from shared.core.estimators.hashing import Hashes
from shared.core.estimators.units import Units

RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A value, where it lies, and how many rows and independent units it rests on."""

    value: float
    interval: Interval
    rows: int
    units: int


def conversion(purchases: ArrayLike) -> Floats:
    """Return 1 for each session with a purchase, from the numbers of purchases, (n,); also a like rate, from
    likes among answers."""
    return (_finite("purchases", purchases) > 0).astype(np.float64)


def reciprocal_rank(relevance: ArrayLike) -> Floats:
    """Return 1 over the rank of the first relevant result, 0 without one (Voorhees 1999), for (n, length)."""
    found = _ranking(relevance) > 0
    first = found.argmax(axis=1) + 1
    return np.where(found.any(axis=1), 1.0 / first, 0.0)


def precision_at(relevance: ArrayLike, k: int) -> Floats:
    """Return the share of relevant ones among the first k results, for (n, length); missing ones are not.

    Raises ValueError for k below 1.
    """
    return np.asarray((_ranking(relevance)[:, : _cutoff(k)] > 0).sum(axis=1) / k)


def ndcg_at(relevance: ArrayLike, k: int) -> Floats:
    """Return the discounted gain of the first k results over the best order's (Jarvelin and Kekalainen 2002,
    gains 2^relevance - 1, discounts 1 / log2(1 + rank)), 0 where nothing is relevant, for (n, length).

    Raises ValueError for k below 1.
    """
    gains = np.exp2(_ranking(relevance)) - 1
    best = -np.sort(-gains, axis=1)
    discounts = 1 / np.log2(2 + np.arange(min(_cutoff(k), gains.shape[1])))
    found, ideal = (each[:, : len(discounts)] @ discounts for each in (gains, best))
    return np.asarray(np.divide(found, ideal, out=np.zeros_like(found), where=ideal > 0))


def squared_error(actions: ArrayLike, wanted: ArrayLike) -> Floats:
    """Return the mean squared difference of two vectors of numbers, for (n, m) each."""
    one, other = _finite("actions", actions), _finite("wanted", wanted)
    if one.shape != other.shape or one.ndim != 2:
        raise ValueError(f"actions {one.shape} do not go with {other.shape}; both must be (n, m)")
    return np.asarray(((one - other) ** 2).mean(axis=1))


def preferred(chosen: ArrayLike, rejected: ArrayLike) -> Floats:
    """Return 1 for each pair whose chosen side scores higher, a half for a tie, for (n,) scores each: the
    mean is a reward model's accuracy on pairs."""
    one, other = _finite("chosen", chosen), _finite("rejected", rejected)
    if one.shape != other.shape:
        raise ValueError(f"chosen {one.shape} do not go with rejected {other.shape}")
    return np.asarray((one > other) + 0.5 * (one == other))


def mean(values: ArrayLike, cluster: Hashes | None = None, *, alpha: float = 0.05, seed: int = 0) -> Figure:
    """Return the mean of (n,) values with its percentile bootstrap interval; `cluster` hashes their subjects.

    Raises ValueError without values.
    """
    rows = _finite("values", values)
    units = _units({"value": rows}, cluster, seed)
    bootstrap = Bootstrap(units, resamples=RESAMPLES, seed=seed)

    def statistic(sums: Columns) -> Floats:
        return np.asarray(sums["value"] / sums["rows"])

    interval = bootstrap.interval(statistic, alpha)
    return Figure(bootstrap.value(statistic), interval, len(rows), len(units["rows"]))


def _units(columns: Mapping[str, Floats], cluster: Hashes | None, seed: int) -> Columns:
    units = Units(columns, seed=seed)
    units.add(columns, cluster)
    return units.columns()


def _finite(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        place = tuple(int(each[0]) for each in np.nonzero(~np.isfinite(found)))
        raise ValueError(f"{name}{list(place)} is {found[place]}; it must be a finite number")
    return found


def _ranking(relevance: ArrayLike) -> Floats:
    found = _finite("relevance", relevance)
    if found.ndim != 2 or (found < 0).any():
        raise ValueError("relevance must be numbers from 0 on, of shape (n, length)")
    return found


def _cutoff(k: int) -> int:
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    return k
