"""What importance weights look like: moments, drawn and expected, and a histogram, in constant memory."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from shared.core.arrays import Floats

PER_OCTAVE = 4
LOWEST, HIGHEST = -20, 40
"""Exponents of two between which the histogram tells weights apart."""
BINS = (HIGHEST - LOWEST) * PER_OCTAVE
ROUNDING = 1e-9
"""Deviations below this share of their scale come from the order of additions."""


def expected_moments(behaviour: Floats, target: Floats) -> Floats:
    """Return what the square and the fourth power of weight - 1 average over the logging policy's draws.

    Args:
        behaviour: (n, k), the logging policy's distributions, NaN where one is not known; an action that it
            never takes has no weight.
        target: (n, k), the target policy's.

    Returns (2, n), NaN where the distribution is not known.
    """
    taken = behaviour > 0
    weight = np.divide(target, behaviour, out=np.ones_like(target), where=taken)
    return np.asarray((behaviour * _powers(weight)).sum(axis=-1))


def _powers(weight: Floats) -> Floats:
    """(2, …): the square and the fourth power of weight - 1."""
    apart = weight - 1
    with np.errstate(over="ignore"):
        square = np.where(np.abs(apart) > ROUNDING, apart, 0.0) ** 2
        return np.stack([square, square**2])


@dataclass
class Weights:
    """Sums over n weights."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    zeros: int = 0
    foreseen: int = 0
    """Decisions of which it is known what was to be expected of their weight, whichever action was drawn."""
    squares_apart: float = 0.0
    fourths_apart: float = 0.0
    """Sums of (weight - 1)^2 and (weight - 1)^4, as expected of decisions foreseen, as drawn of others."""
    histogram: Floats = field(default_factory=lambda: np.zeros(BINS))
    """How many positive weights lie in [2^(LOWEST + i / PER_OCTAVE), …); the first and the last bin take
    what is beyond."""

    def add(self, weight: Floats, moments: Floats | None = None) -> None:
        """Take n more weights; `moments`, (2, n), are their `expected_moments`."""
        self.count += len(weight)
        self.total += float(weight.sum())
        self.squares += float(weight @ weight)
        self.largest = max(self.largest, float(weight.max(initial=0.0)))
        positive = weight[weight > 0]
        self.zeros += len(weight) - len(positive)
        place = np.floor((np.log2(positive) - LOWEST) * PER_OCTAVE)
        apart = _powers(weight)
        if moments is not None:
            known = np.isfinite(moments)
            apart = np.where(known, moments, apart)
            self.foreseen += int(known.all(axis=0).sum())
        self.squares_apart += float(apart[0].sum())
        self.fourths_apart += float(apart[1].sum())
        self.histogram += np.bincount(np.clip(place, 0, BINS - 1).astype(np.int64), minlength=BINS)

    def merge(self, other: Self) -> None:
        """Add another part of the log."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.largest = max(self.largest, other.largest)
        self.zeros += other.zeros
        self.foreseen += other.foreseen
        self.squares_apart += other.squares_apart
        self.fourths_apart += other.fourths_apart
        self.histogram += other.histogram

    @property
    def effective_sample_size(self) -> float:
        """Kish's (sum w)^2 / sum w^2: how many equally weighted decisions tell as much; 0 without weight."""
        return self.total**2 / self.squares if self.squares > 0 else 0.0

    @property
    def expected_effective_sample_size(self) -> float:
        """The same with the mean square that was to be expected, as far as that is known."""
        return self.count**2 / (self.count + self.squares_apart) if self.count else 0.0

    @property
    def carried(self) -> float:
        """How many equally heavy decisions would carry the variance that was to be expected, as far as it is
        known: (sum d^2)^2 / sum d^4 of distances d from 1. Infinity where none varies, NaN beyond numbers."""
        if not self.fourths_apart:
            return math.inf
        return self.squares_apart * (self.squares_apart / self.fourths_apart)

    @property
    def mean(self) -> float:
        """Mean weight: 1 in expectation where the log supports the target policy; NaN of none."""
        return self.total / self.count if self.count else float("nan")

    @property
    def largest_share(self) -> float:
        """Share of all weight that the heaviest decision has; 0 without weight."""
        return self.largest / self.total if self.total > 0 else 0.0
