"""Standardisation of raw contexts, learnt once from the first rows of the log and then frozen."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from shared.core.arrays import Floats

LIMIT = 8.0  # standard deviations: a value further out is clipped, so one outlier cannot rule the ridge


@dataclass(frozen=True, eq=False)
class Scaling:
    """Mean and scale (both shape (d,), float64) of each raw feature."""

    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, raw: np.ndarray) -> Self:
        """Fit on raw contexts of shape (n, d), n >= 1.

        A feature that is constant in these rows gets the median scale of those that vary (contexts often
        share a unit), or one; clipping bounds the harm where that is wrong.
        """
        rows = np.asarray(raw, np.float64)
        mean, scale = rows.mean(axis=0), rows.std(axis=0)
        varies = scale > 1e-6 * np.maximum(1e-6, np.abs(mean))
        fallback = float(np.median(scale[varies])) if varies.any() else 1.0
        return cls(mean, np.where(varies, scale, fallback))

    def apply(self, raw: np.ndarray) -> Floats:
        """Return the standardised, clipped rows, shape (n, d) float64."""
        standard: Floats = (raw - self.mean) / self.scale
        np.maximum(standard, -LIMIT, out=standard)
        return np.minimum(standard, LIMIT, out=standard)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-compatible object that `from_json` restores to the bit."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Restore. Raises ValueError for lengths that differ and for a scale that is not above zero."""
        mean, scale = np.array(data["mean"], np.float64), np.array(data["scale"], np.float64)
        if mean.shape != scale.shape or mean.ndim != 1:
            raise ValueError(f"scaling with {mean.shape} means and {scale.shape} scales")
        if not (np.isfinite(mean).all() and (scale > 0).all() and np.isfinite(scale).all()):
            raise ValueError("a scaling needs finite means and finite scales above zero")
        return cls(mean, scale)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Scaling)
            and np.array_equal(self.mean, other.mean)
            and np.array_equal(self.scale, other.scale)
        )

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.scale.tobytes()))
