"""What the held-out searches say: of the log, and of the learnt policy by importance sampling."""

import numpy as np

from shared.algorithms.cql.searches import Searches
from shared.core.arrays import Floats

RESAMPLES = 1000
#: Ridge of the behaviour model's covariance, relative to its mean variance.
SHRINK = 1e-3
CUTOFFS = (5, 10)


def of_log(searches: Searches) -> dict[str, float]:
    """Conversion rate, mean reciprocal rank, precision at k and revenue of a search."""
    first = searches.facts["first_rank"]
    reciprocal = np.where(first > 0, 1 / np.maximum(first, 1), 0.0)
    return {
        "conversion_rate": float((searches.facts["purchase"] > 0).mean()),
        "mrr": float(reciprocal.mean()),
        **{f"precision_at_{k}": float(searches.facts[f"hits_at_{k}"].mean() / k) for k in CUTOFFS},
        "revenue_per_session": float(searches.facts["revenue"].mean()),
        "logged_reward": float(searches.rewards.mean()),
    }


class Behaviour:
    """An estimate of the logging policy's density: weights given the state, linear and normal.

    Weights sum to 1, so the last one is left out. No logged propensity is needed, and none is replaced: this
    is a model, and figures that rest on it say so.
    """

    def __init__(self, states: Floats, actions: Floats) -> None:
        """`states` (n, d) standardised, `actions` (n, 7)."""
        design, free = _design(states), actions[:, :-1]
        self._coefficients = np.linalg.lstsq(design, free, rcond=None)[0]
        residual = free - design @ self._coefficients
        covariance = residual.T @ residual / max(1, len(free) - design.shape[1])
        spread = max(float(np.trace(covariance)) / len(covariance), 1e-12)
        self.covariance: Floats = covariance + SHRINK * spread * np.eye(len(covariance))

    def log_ratio(self, states: Floats, actions: Floats, wanted: Floats) -> Floats:
        """Log density of actions if drawn as widely around `wanted`, over that of the log, (n,)."""
        inverse: Floats = np.asarray(np.linalg.inv(self.covariance), np.float64)
        behaviour: Floats = actions[:, :-1] - _design(states) @ self._coefficients
        target: Floats = actions[:, :-1] - wanted[:, :-1]
        ratio: Floats = (_square(behaviour, inverse) - _square(target, inverse)) / 2
        return ratio


def importance_sampling(
    log_ratio: Floats, outcome: Floats, min_effective_sample: float, seed: int
) -> dict[str, float]:
    """Self-normalised estimate with its percentile bootstrap interval; refused if too few searches count."""
    weights = np.exp(log_ratio - log_ratio.max())
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    found = {"ips_effective_sample": effective, "ips_refused": float(effective < min_effective_sample)}
    if found["ips_refused"]:
        return found
    random = np.random.Generator(np.random.Philox(key=seed))
    drawn = random.integers(len(weights), size=(RESAMPLES, len(weights)))
    resampled = (weights * outcome)[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    value = float((weights * outcome).sum() / weights.sum())
    return found | {
        "ips_conversion": value,
        "ips_conversion_low": float(low),
        "ips_conversion_high": float(high),
    }


def _design(states: Floats) -> Floats:
    return np.concatenate([states, np.ones((len(states), 1))], axis=1)


def _square(rows: Floats, matrix: Floats) -> Floats:
    return np.asarray(np.einsum("ij,jk,ik->i", rows, matrix, rows))
