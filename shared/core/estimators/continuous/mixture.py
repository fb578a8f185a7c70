"""Mixtures of normal distributions, by expectation and maximisation (Dempster, Laird and Rubin 1977)."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from shared.core.arrays import Floats

STEPS = 100
TOLERANCE = 1e-3
"""Gain in mean log-likelihood below which a fit has ended: a tenth of a per cent of a density."""
NARROWEST = 1e-3
"""Added to each variance, where the data have one of order one: a component cannot close in on a point."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """k normal distributions over d coordinates."""

    shares: Floats
    """(k,), summing to 1."""
    means: Floats
    """(k, d)."""
    covariances: Floats
    """(k, d, d)."""

    @classmethod
    def fit(cls, rows: Floats, components: int, random: np.random.Generator) -> Self:
        """Fit (n, d) rows, which vary by about one, n above zero."""
        belongs = np.eye(components)[_nearest(rows, _seeds(rows, components, random))]
        before = -np.inf
        for _ in range(STEPS):
            found = cls._of(rows, belongs)
            each = found._log_parts(rows)
            total = np.logaddexp.reduce(each, axis=1)
            belongs = np.exp(each - total[:, None])
            if float(total.mean()) - before < TOLERANCE:
                break
            before = float(total.mean())
        return found

    @classmethod
    def _of(cls, rows: Floats, belongs: Floats) -> Self:
        # Nothing may belong to a component: it then keeps a share too small to matter, and a variance.
        counts = belongs.sum(axis=0) + 1e-9
        means = (belongs.T @ rows) / counts[:, None]
        covariances = np.empty((len(counts), rows.shape[1], rows.shape[1]))
        for number, mean in enumerate(means):
            apart = rows - mean
            covariances[number] = (apart * belongs[:, number, None]).T @ apart / counts[number]
        return cls(counts / counts.sum(), means, covariances + NARROWEST * np.eye(rows.shape[1]))

    def log_density(self, rows: Floats) -> Floats:
        """Return the log density at (n, d) rows, (n,)."""
        return np.asarray(np.logaddexp.reduce(self._log_parts(rows), axis=1))

    def over_first(self, count: int) -> Self:
        """Return the distribution of the first coordinates alone."""
        return type(self)(self.shares, self.means[:, :count], self.covariances[:, :count, :count])

    def _log_parts(self, rows: Floats) -> Floats:
        parts = np.empty((len(rows), len(self.shares)))
        for number, (share, mean, covariance) in enumerate(
            zip(self.shares, self.means, self.covariances, strict=True)
        ):
            root = np.linalg.cholesky(covariance)
            apart = (rows - mean) @ np.linalg.inv(root).T
            size = np.log(np.diag(root)).sum() + 0.5 * rows.shape[1] * np.log(2 * np.pi)
            parts[:, number] = np.log(share) - 0.5 * np.einsum("ij,ij->i", apart, apart) - size
        return parts


def _seeds(rows: Floats, count: int, random: np.random.Generator) -> Floats:
    """Rows far from one another (k-means++, Arthur and Vassilvitskii 2007)."""
    chosen = [rows[random.integers(len(rows))]]
    nearest = ((rows - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < count and nearest.sum() > 0:
        chosen.append(rows[random.choice(len(rows), p=nearest / nearest.sum())])
        nearest = np.minimum(nearest, ((rows - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)


def _nearest(rows: Floats, seeds: Floats) -> np.ndarray:
    return np.asarray(((seeds**2).sum(axis=1) - 2 * rows @ seeds.T).argmin(axis=1))
