"""What held-out answers and pairs say of a language model, against the one it was trained from.

Judges of answers, people and reward models alike, like long ones. So a gain is told twice: as it is, and at
equal length, less what a regression on length explains (as length-controlled win rates do: Dubois, Galambosi,
Liang and Hashimoto 2024). Both are statistics of sums, worked out anew in every bootstrap resample, whole
questions drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Bootstrap, Columns, Statistic
from shared.core.estimators.hashing import Hashes
from shared.core.estimators.outcomes import Figure
from shared.core.estimators.units import Units


@dataclass(frozen=True, eq=False)
class Comparison:
    """A candidate's mean beside its baseline's, over the same rows."""

    value: Figure
    baseline: Figure
    gain: Figure
    at_equal_length: Figure
    """The gain that is left where neither is longer."""
    deviations: Floats
    """(units,) how far each question moves the gain."""


def answers(
    before: ArrayLike,
    after: ArrayLike,
    before_length: ArrayLike,
    after_length: ArrayLike,
    question: Hashes,
    *,
    resamples: int = 2000,
    alpha: float = 0.05,
    seed: int = 0,
) -> Comparison:
    """Compare scores of two answers to each question, (n,) each, given both lengths.

    What a unit of length is worth is the pooled slope within the answers of either model.
    """
    one, other, short, long = map(_floats, (before, after, before_length, after_length))
    scale = max(1.0, float(short.max(initial=0.0)), float(long.max(initial=0.0)))
    short, long = short / scale, long / scale
    columns = {
        "before": one,
        "after": other,
        "short": short,
        "long": long,
        "squares": short**2 + long**2,
        "products": short * one + long * other,
    }

    def at_equal_length(sums: Columns) -> Floats:
        rows, short, long = sums["rows"], sums["short"], sums["long"]
        spread = sums["squares"] - (short**2 + long**2) / rows
        together = sums["products"] - (short * sums["before"] + long * sums["after"]) / rows
        return _gain(sums) - _ratio(together, spread) * (long - short) / rows

    return _compared(columns, question, at_equal_length, resamples, alpha, seed)


def pairs(
    right: ArrayLike,
    baseline: ArrayLike,
    longer: ArrayLike,
    question: Hashes,
    *,
    resamples: int = 2000,
    alpha: float = 0.05,
    seed: int = 0,
) -> Comparison:
    """Compare which pairs two models get right, (n,) each, given by how much the preferred answer is longer.

    At equal length is where the gain's regression on that difference meets zero.
    """
    one, other, difference = map(_floats, (baseline, right, longer))
    difference = difference / max(1.0, float(np.abs(difference).max(initial=0.0)))
    gain = other - one
    columns = {
        "before": one,
        "after": other,
        "longer": difference,
        "squares": difference**2,
        "products": difference * gain,
    }

    def at_equal_length(sums: Columns) -> Floats:
        rows, longer = sums["rows"], sums["longer"]
        spread = sums["squares"] - longer**2 / rows
        together = sums["products"] - longer * _gain(sums)
        return _gain(sums) - _ratio(together, spread) * longer / rows

    return _compared(columns, question, at_equal_length, resamples, alpha, seed)


def _compared(
    columns: Mapping[str, Floats],
    question: Hashes,
    at_equal_length: Statistic,
    resamples: int,
    alpha: float,
    seed: int,
) -> Comparison:
    units = Units(columns, seed=seed)
    units.add(columns, question)
    found = units.columns()
    bootstrap = Bootstrap(found, resamples=resamples, seed=seed)

    def figure(statistic: Statistic) -> Figure:
        interval = bootstrap.interval(statistic, alpha)
        return Figure(bootstrap.value(statistic), interval, len(question), len(found["rows"]))

    return Comparison(
        value=figure(lambda sums: np.asarray(sums["after"] / sums["rows"])),
        baseline=figure(lambda sums: np.asarray(sums["before"] / sums["rows"])),
        gain=figure(_gain),
        at_equal_length=figure(at_equal_length),
        deviations=bootstrap.deviations(_gain),
    )


def _gain(sums: Columns) -> Floats:
    return np.asarray((sums["after"] - sums["before"]) / sums["rows"])


def _ratio(one: Floats, other: Floats) -> Floats:
    """Zero where no length varies: then none explains anything."""
    one, other = np.asarray(one), np.asarray(other)
    return np.divide(one, other, out=np.zeros_like(one), where=other > 1e-12)


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float64)
