"""The state of a search: three groups of features, and the 23 numbers made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from shared.applications.contract import Numbers, Vector
from shared.applications.reading import Count, Number, Record, validated

TOP_BRANDS, TOP_CATEGORIES = 3, 5
FEATURES = (
    *("luxury_affinity", "hesitation_count", "purchase_count", "category_diversity"),
    *(f"brand_affinity_{i + 1}" for i in range(TOP_BRANDS)),
    *(f"avg_category_spend_{i + 1}" for i in range(TOP_CATEGORIES)),
    *("count", "price_mean", "price_std", "price_min", "price_max", "avg_desirability", "discounted_count"),
    *("query_length", "query_has_brand", "query_has_price_terms", "previous_searches_count"),
)
"""Names of the 23 numbers, in their order."""
EPSILON = 1e-8
"""Added to standard deviations, so that a constant feature standardises to 0."""
LARGEST = 1e9
"""Vectors are float32, and sums of their squares have to be finite too."""

Value = Annotated[Number, Field(ge=-LARGEST, le=LARGEST)]
#: The largest affinities or sums count, so that one needs not be bounded below.
ByName = Annotated[dict[Annotated[str, Field(max_length=100)], Value], Field(max_length=10_000)]
Flag = bool | Annotated[Count, Field(le=1)]


class UserFeatures(Record):
    """What is known of the user."""

    luxury_affinity: Value
    hesitation_count: Count
    purchase_count: Count
    category_diversity: Value
    brand_affinity: ByName
    avg_category_spend: ByName


class CandidateFeatures(Record):
    """The products that are to be ranked."""

    count: Count
    price_mean: Value
    price_std: Value
    price_min: Value
    price_max: Value
    avg_desirability: Value
    discounted_count: Count


class SessionFeatures(Record):
    """The query and what came before it."""

    query_length: Count
    query_has_brand: Flag
    query_has_price_terms: Flag
    previous_searches_count: Count


class State(Record):
    """The state of one search."""

    user_features: UserFeatures
    candidate_features: CandidateFeatures
    session_features: SessionFeatures

    def vector(self) -> Vector:
        """The 23 numbers of FEATURES, float32, raw."""
        user, found, session = self.user_features, self.candidate_features, self.session_features
        plain = [user.luxury_affinity, user.hesitation_count, user.purchase_count, user.category_diversity]
        brands = _top(user.brand_affinity, TOP_BRANDS)
        spends = _top(user.avg_category_spend, TOP_CATEGORIES)
        products = [getattr(found, name) for name in type(found).model_fields]
        query = [getattr(session, name) for name in type(session).model_fields]
        return np.array([*plain, *brands, *spends, *products, *query], np.float32)


def read_state(given: Any, prefix: str = "state") -> State:
    """A state. Raises `FieldError`."""
    return validated(State, given, prefix)


def _top(values: Mapping[str, float], count: int) -> list[float]:
    """The largest values, descending, padded with zeros."""
    best = sorted(values.values(), reverse=True)[:count]
    return best + [0.0] * (count - len(best))


@dataclass(frozen=True)
class Scaler:
    """Standardisation of states: (x - mean) / (standard deviation + 1e-8)."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, states: np.ndarray) -> Self:
        """Fitted to (n, 23) states, n at least 1."""
        raw = states.astype(np.float64)
        return cls(tuple(raw.mean(axis=0).tolist()), tuple(raw.std(axis=0).tolist()))

    def __call__(self, states: np.ndarray) -> Numbers:
        """Standardised states of the same shape, float64."""
        scaled: Numbers = (states - np.array(self.mean)) / (np.array(self.deviation) + EPSILON)
        return scaled
