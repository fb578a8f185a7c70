"""Valid events to start from, and rules to check them by."""

import time
from typing import Any

from services.collector.handlers import Rules
from services.collector.settings import CollectorSettings
from shared.applications.registry import load

NOW = 1_800_000_000_000
APPLICATIONS = load()
PIXELS = {f"pixel_{i:02}": float(i % 17) for i in range(64)}
UNIFORM = [0.1] * 10
SEARCH = {
    "user_features": {
        **dict.fromkeys(("luxury_affinity", "category_diversity"), 0.5),
        **dict.fromkeys(("hesitation_count", "purchase_count"), 2),
        "brand_affinity": {"acme": 0.9},
        "avg_category_spend": {"shoes": 80},
    },
    "candidate_features": {
        "count": 20,
        "discounted_count": 3,
        "price_mean": 99.5,
        "price_std": 20,
        "price_min": 10,
        "price_max": 199,
        "avg_desirability": 0.5,
    },
    "session_features": {
        "query_length": 2,
        "query_has_brand": True,
        "query_has_price_terms": False,
        "previous_searches_count": 1,
    },
}
WEIGHTS = [0.25, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]
"""In the order of `search_ranking`'s names; they sum to 1."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def rules(**settings: Any) -> Rules:
    return Rules(APPLICATIONS, CollectorSettings(**settings))


def interaction(**fields: Any) -> dict[str, Any]:
    base = {
        "interaction_id": "i-1",
        "decision_id": "d-1",
        "application": "optdigits",
        "type": "right",
        "value": 1,
    }
    return {**base, **fields}


def vector(**fields: Any) -> dict[str, Any]:
    """A decision of search ranking by weights of its own."""
    base = {
        "decision_id": "d-1",
        "application": "search_ranking",
        "subject_id": "s-1",
        "context": SEARCH,
        "action": "weights",
        "parameters": WEIGHTS,
        "density": 40.5,
    }
    return {**base, **fields}


def decision(**fields: Any) -> dict[str, Any]:
    base = {
        "decision_id": "d-1",
        "application": "optdigits",
        "subject_id": "s-1",
        "context": PIXELS,
        "action": "7",
        "propensity": 0.1,
    }
    return {**base, **fields}
