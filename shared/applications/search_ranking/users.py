"""Simulated users of a search: what they are like, and which weights suit them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

SPREAD = 0.1
"""Relative standard deviation of features around those of the kind."""
COUNTS = ("hesitation_count", "purchase_count", "discounted_count", "previous_searches_count")


@dataclass(frozen=True)
class Kind:
    """Typical features, and raw weights in the order of `weights.NAMES`."""

    weights: tuple[float, ...]
    luxury_affinity: float
    hesitation_count: float
    purchase_count: float
    category_diversity: float
    brand_affinity: float
    discounted_count: float
    query_has_brand: bool
    query_has_price_terms: bool
    previous_searches_count: float


KINDS = (
    Kind((1, 1, 1, 1, 1, 1, 1), 0.4, 2, 2, 0.5, 0.3, 5, False, False, 1),
    Kind((2, 1.5, 0.2, 0.2, 0.2, 0.3, 0.2), 0.5, 1, 20, 0.8, 0.4, 5, False, False, 3),
    Kind((0.2, 0.2, 2, 1, 0.3, 0.2, 0.1), 0.95, 3, 6, 0.3, 0.6, 1, False, False, 2),
    Kind((0.2, 0.2, 0.3, 2, 0.5, 0.2, 0.2), 0.6, 1, 9, 0.2, 0.95, 3, True, False, 1),
    Kind((0.2, 0.2, 0.3, 0.5, 2, 0.2, 0.3), 0.5, 9, 4, 0.4, 0.5, 6, False, False, 9),
    Kind((0.1, 0.2, 0.1, 0.1, 0.2, 1, 2), 0.1, 5, 7, 0.6, 0.1, 30, False, True, 4),
)


def context(kind: Kind, random: np.random.Generator) -> dict[str, Any]:
    """The state of one search."""

    def near(value: float, most: float = np.inf) -> float:
        return float(np.clip(value * (1 + SPREAD * random.standard_normal()), 0, most))

    counts = {name: round(near(getattr(kind, name))) for name in COUNTS}
    mean = near(100 + 400 * kind.luxury_affinity)
    return {
        "user_features": {
            "luxury_affinity": near(kind.luxury_affinity, 1),
            "hesitation_count": counts["hesitation_count"],
            "purchase_count": counts["purchase_count"],
            "category_diversity": near(kind.category_diversity, 1),
            "brand_affinity": {
                "first": near(kind.brand_affinity, 1),
                "second": near(kind.brand_affinity / 2, 1),
            },
            "avg_category_spend": {"shoes": near(mean), "bags": near(mean / 2)},
        },
        "candidate_features": {
            "count": 50,
            "price_mean": mean,
            "price_std": near(mean / 3),
            "price_min": near(mean / 10),
            "price_max": near(mean * 4),
            "avg_desirability": near(0.5, 1),
            "discounted_count": counts["discounted_count"],
        },
        "session_features": {
            "query_length": int(random.integers(1, 6)),
            "query_has_brand": kind.query_has_brand,
            "query_has_price_terms": kind.query_has_price_terms,
            "previous_searches_count": counts["previous_searches_count"],
        },
    }
