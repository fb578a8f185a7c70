"""Vectors in coordinates of their own: uncorrelated, of variance one, without what never varies."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from shared.core.arrays import Bools, Floats

FLAT = 1e-9
"""Share of the largest variance below which a direction does not vary: numbers that add up to one leave it
at rounding."""
APART = 1e-4
"""Distance along such a direction, in deviations of the widest one, that is more than rounding in float32."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """A change of coordinates of vectors (n, m) to (n, d), d at most m."""

    mean: Floats
    """(m,)."""
    directions: Floats
    """(m, d), orthonormal."""
    deviations: Floats
    """(d,) standard deviations along them."""
    flat: Floats
    """(m, m - d), orthonormal: along these nothing varied."""

    @classmethod
    def fit(cls, vectors: Floats) -> Self:
        """The coordinates of (n, m) vectors. Raises ValueError if none of their numbers varies."""
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        variances, found = np.linalg.eigh(centred.T @ centred / max(1, len(vectors)))
        varies = variances > FLAT * variances[-1]
        if not variances[-1] > 0:
            raise ValueError("all vectors are alike: nothing tells one from another")
        return cls(mean, found[:, varies], np.sqrt(variances[varies]), found[:, ~varies])

    def __call__(self, vectors: Floats) -> Floats:
        """Return vectors (n, m) in these coordinates, (n, d)."""
        return np.asarray((vectors - self.mean) @ self.directions / self.deviations)

    @property
    def size(self) -> int:
        """d."""
        return len(self.deviations)

    def outside(self, vectors: Floats) -> Bools:
        """Return which vectors, (n,), differ along a direction in which those of the fit never did."""
        apart = np.abs((vectors - self.mean) @ self.flat) > APART * self.deviations[-1]
        return np.asarray(apart.any(axis=1))

    def log_unit(self) -> float:
        """Return the logarithm of the volume, in the first d numbers, of one unit of these coordinates.

        What a density over the first d numbers is multiplied by to be one over the coordinates. Raises
        ValueError where the first d numbers do not determine the others.
        """
        sides = (self.directions * self.deviations)[: self.size]
        sign, found = np.linalg.slogdet(sides)
        if not sign or found < np.log(FLAT) + np.log(self.deviations).sum():
            raise ValueError(f"the first {self.size} numbers do not determine the others")
        return float(found)
