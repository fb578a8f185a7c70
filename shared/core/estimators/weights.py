"""What importance weights look like: moments, drawn and expected, and a histogram, in constant memory."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from shared.core.arrays import Floats

PER_OCTAVE = 4
LOWEST, HIGHEST = -20, 40
"""Exponents of two between which the histogram tells weights apart."""
BINS = (HIGHEST - LOWEST) * PER_OCTAVE


def expected_moments(behaviour: Floats, target: Floats) -> Floats:
    """Return what the square and the fourth power of weight - 1 average over the logging policy's draws.

    Args:
        behaviour: (n, k), the logging policy's distributions; an action that it never takes has no weight.
        target: (n, k), the target policy's.

    Returns (2, n).
    """
    taken = behaviour > 0
    apart = np.divide(target, behaviour, out=np.ones_like(target), where=taken) - 1
    squares = apart**2
    return np.stack([(behaviour * squares).sum(axis=1), (behaviour * squares**2).sum(axis=1)])


@dataclass
class Expected:
    """Sums of `expected_moments` over decisions: what weights of such a log are like, whichever were drawn.

    A log in which the rare heavy decisions did not happen looks sound by its own weights, and its intervals
    miss; by these it does not.
    """

    count: int = 0
    squares: float = 0.0
    fourths: float = 0.0

    def add(self, moments: Floats) -> None:
        """Take (2, n) more."""
        self.count += moments.shape[1]
        self.squares += float(moments[0].sum())
        self.fourths += float(moments[1].sum())

    def merge(self, other: Self) -> None:
        """Add another part of the log."""
        self.count += other.count
        self.squares += other.squares
        self.fourths += other.fourths

    @property
    def effective_sample_size(self) -> float:
        """Count over the mean square of a weight."""
        return self.count**2 / (self.count + self.squares) if self.count else 0.0

    @property
    def carried(self) -> float:
        """How many equally heavy decisions would carry the weights' variance; 0 where they do not vary."""
        return self.squares**2 / self.fourths if self.fourths > 0 else 0.0


@dataclass
class Weights:
    """Sums over n weights."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    largest: float = 0.0
    zeros: int = 0
    histogram: Floats = field(default_factory=lambda: np.zeros(BINS))
    """How many positive weights lie in [2^(LOWEST + i / PER_OCTAVE), …); the first and the last bin take
    what is beyond."""

    def add(self, weight: Floats) -> None:
        """Take n more weights."""
        self.count += len(weight)
        self.total += float(weight.sum())
        self.squares += float(weight @ weight)
        self.largest = max(self.largest, float(weight.max(initial=0.0)))
        positive = weight[weight > 0]
        self.zeros += len(weight) - len(positive)
        place = np.floor((np.log2(positive) - LOWEST) * PER_OCTAVE)
        self.histogram += np.bincount(np.clip(place, 0, BINS - 1).astype(np.int64), minlength=BINS)

    def merge(self, other: Self) -> None:
        """Add another part of the log."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.largest = max(self.largest, other.largest)
        self.zeros += other.zeros
        self.histogram += other.histogram

    @property
    def effective_sample_size(self) -> float:
        """Kish's (sum w)^2 / sum w^2: how many equally weighted decisions tell as much; 0 without weight."""
        return self.total**2 / self.squares if self.squares > 0 else 0.0

    @property
    def mean(self) -> float:
        """Mean weight: 1 in expectation where the log supports the target policy; NaN of none."""
        return self.total / self.count if self.count else float("nan")

    @property
    def largest_share(self) -> float:
        """Share of all weight that the heaviest decision has; 0 without weight."""
        return self.largest / self.total if self.total > 0 else 0.0
