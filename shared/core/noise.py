"""Random numbers that stay the same over numpy versions.

numpy promises a stable stream for its bit generators only (NEP 19), not for `Generator`'s distributions;
feature maps must be the same in every process, so uniforms and normals are derived from raw Philox bits.
"""

import numpy as np


def uniforms(seed: int, size: int) -> np.ndarray:
    """Return `size` numbers strictly between 0 and 1."""
    raw = np.random.Philox(key=seed).random_raw(size)
    return np.asarray(((raw >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52)


def normals(seed: int, size: int) -> np.ndarray:
    """Return `size` standard normal numbers (Box and Muller 1958)."""
    half = (size + 1) // 2
    u = uniforms(seed, 2 * half)
    radius, angle = np.sqrt(-2.0 * np.log(u[:half])), 2.0 * np.pi * u[half:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]
