"""Seeded 64-bit hashes of whole columns."""

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def mix(values: Hashes, seed: int = 0) -> Hashes:
    """Return splitmix64's output function of values and seed (Steele, Lea and Flood 2014): a bijection
    whose low bits are as good as its high ones."""
    state = values + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))
