"""Search ranking: rewards against a plain loop, the 23 numbers in their order, weights."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.contract import FieldError
from shared.applications.outcomes import metrics_of
from shared.applications.registry import load
from shared.applications.search_ranking.application import SearchRanking
from shared.applications.search_ranking.reward import rank_weight, usable
from shared.applications.search_ranking.state import FEATURES, Scaler
from shared.applications.search_ranking.weights import NAMES, normalised, read_weights
from shared.core.estimators.outcomes import ndcg_at
from tests.applications.rewards import one, row, together

LOADED = load()["search_ranking"]
assert isinstance(LOADED, SearchRanking)
SEARCH: SearchRanking = LOADED
WEIGHTS = [1, 0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05]
VALUES = {"click": 0.5, "wishlist": 2, "cart": 5, "purchase": 20}
CONTEXT: dict[str, Any] = {
    "user_features": {
        "luxury_affinity": 0.7,
        "hesitation_count": 2,
        "purchase_count": 5,
        "category_diversity": 0.4,
        "brand_affinity": {"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.6},
        "avg_category_spend": {"shoes": 80, "bags": 200},
    },
    "candidate_features": {
        "count": 50,
        "price_mean": 120,
        "price_std": 30,
        "price_min": 10,
        "price_max": 999,
        "avg_desirability": 0.55,
        "discounted_count": 7,
    },
    "session_features": {
        "query_length": 3,
        "query_has_brand": True,
        "query_has_price_terms": 0,
        "previous_searches_count": 4,
    },
}
ranks = st.lists(st.integers(1, 30), unique=True, max_size=6)
prices = st.lists(st.one_of(st.none(), st.floats(0, 1e4)), max_size=20)
logs = st.builds(
    lambda action, ranks, prices: {
        "outcomes": {"user_action": action, "purchased_ranks": ranks},
        "ranking_metadata": [{"product_id": i, "price": price} for i, price in enumerate(prices)],
    },
    st.sampled_from([*VALUES, "none"]),
    ranks,
    prices,
)


def plain(log: dict[str, Any]) -> float:
    """The specification's formula, for one search."""
    action, acted = log["outcomes"]["user_action"], log["outcomes"]["purchased_ranks"]
    if action == "none" or not acted:
        return -5.0
    total = 0.0
    for rank in acted:
        metadata = log["ranking_metadata"]
        price = metadata[rank - 1]["price"] if rank <= len(metadata) else None
        multiplier = min(price / 1000, 3) if action == "purchase" and price is not None else 1
        total += WEIGHTS[min(rank, 10) - 1] * VALUES[action] * multiplier
    return total


@given(st.lists(logs, max_size=8))
def test_many_searches_at_once_equal_the_formula_one_by_one(searches: list[dict[str, Any]]) -> None:
    found = together(SEARCH, [SEARCH.read_line(log) for log in searches])
    assert found.reward.tolist() == pytest.approx([plain(log) for log in searches], abs=1e-9)
    parts = sum(found.components[name] for name in (*VALUES, "none"))
    assert np.allclose(parts, found.reward)


@given(logs)
def test_facts_are_those_of_the_ranks(log: dict[str, Any]) -> None:
    found = {k: v[0] for k, v in together(SEARCH, [SEARCH.read_line(log)]).components.items()}
    action, acted = log["outcomes"]["user_action"], log["outcomes"]["purchased_ranks"]
    acted = [] if action == "none" else acted
    assert found["first_rank"] == min(acted, default=0)
    assert found["hits_at_5"] == sum(rank <= 5 for rank in acted)
    assert found["hits_at_10"] == sum(rank <= 10 for rank in acted)
    assert found["hits"] == len(acted)
    known = dict(enumerate((each["price"] for each in log["ranking_metadata"]), 1))
    revenue = sum(known.get(rank) or 0 for rank in acted) if action == "purchase" else 0
    assert found["revenue"] == pytest.approx(revenue)


@given(st.lists(logs, min_size=1, max_size=8))
def test_ndcg_of_several_hits_is_that_of_their_whole_ranking(searches: list[dict[str, Any]]) -> None:
    (metric,) = (each for each in metrics_of("search_ranking") if each.name == "ndcg_at_10")
    relevance = np.zeros((len(searches), 30))
    for number, log in enumerate(searches):
        if log["outcomes"]["user_action"] != "none":
            relevance[number, [rank - 1 for rank in log["outcomes"]["purchased_ranks"]]] = 1
    found = metric.of(together(SEARCH, [SEARCH.read_line(log) for log in searches]).components)
    assert found.tolist() == pytest.approx(ndcg_at(relevance, 10).tolist(), abs=1e-9)


def test_the_strongest_action_counts_and_each_rank_once() -> None:
    clicks = [row("click", rank=1), row("click", rank=1), row("click", rank=2)]
    assert one(SEARCH, *clicks) == pytest.approx(0.5 + 0.5 * 0.85)
    assert one(SEARCH, *clicks, row("purchase", rank=3, price=199)) == pytest.approx(2.786)
    assert one(SEARCH, row("purchase", rank=3, price=199), *clicks) == pytest.approx(2.786)
    assert one(SEARCH, row("none"), *clicks[:1]) == pytest.approx(0.5)
    twice = [row("purchase", rank=1, price=100), row("purchase", rank=1, price=300)]
    assert one(SEARCH, *twice) == pytest.approx(6)


@pytest.mark.parametrize(
    "broken",
    [row("purchase"), row("purchase", rank=0), row("purchase", rank=1.5), row("stare", rank=1)],
)
def test_what_no_reader_would_have_let_through_does_not_count(broken: dict[str, Any]) -> None:
    assert one(SEARCH, row("click", rank=1), broken) == pytest.approx(0.5)
    assert one(SEARCH, broken) == -5


def test_a_price_that_is_none_is_unknown() -> None:
    assert one(SEARCH, row("purchase", rank=1, price=-10)) == 20


def test_rank_weights() -> None:
    assert rank_weight(np.arange(1.0, 13)).tolist() == [*WEIGHTS, 0.05, 0.05]


def test_rewards_out_of_bounds_are_told_apart() -> None:
    rewards = np.array([-10.0, -10.1, 100, 100.1, np.nan, 0])
    assert usable(rewards).tolist() == [True, False, True, False, False, True]


def test_the_state_is_23_numbers_in_their_order() -> None:
    vector = SEARCH.featurise(CONTEXT)
    assert (
        vector.tolist()
        == np.array(
            [0.7, 2, 5, 0.4, 0.9, 0.6, 0.5, 200, 80, 0, 0, 0, 50, 120, 30, 10, 999, 0.55, 7, 3, 1, 0, 4],
            np.float32,
        ).tolist()
    )
    assert len(FEATURES) == len(set(FEATURES)) == 23 == SEARCH.context_width
    places = {"avg_category_spend_1": 7, "price_std": 14, "query_has_brand": 20}
    assert {name: FEATURES.index(name) for name in places} == places


def test_states_are_standardised_also_where_nothing_varies() -> None:
    states = np.stack([SEARCH.featurise(CONTEXT)] * 3).astype(np.float64)
    states[:, 0] = [1, 2, 3]
    scaler = Scaler.fit(states)
    scaled = scaler(states)
    assert scaled[:, 0].tolist() == pytest.approx(((states[:, 0] - 2) / (np.std([1, 2, 3]) + 1e-8)).tolist())
    assert np.abs(scaled[:, 1:]).max() < 1e-3
    assert scaled.shape == states.shape


@given(st.lists(st.floats(-10, 10), min_size=7, max_size=7))
def test_weights_are_a_distribution(raw: list[float]) -> None:
    weights = normalised(raw)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    clipped = np.clip(np.array(raw) / 2, 0, 1)
    expected = clipped / clipped.sum() if clipped.any() else np.full(7, 1 / 7)
    assert np.allclose(weights, expected)


def test_weights_of_many_and_of_presets() -> None:
    assert normalised([[2, 0, 0, 0, 0, 0, 0], [-1] * 7]).tolist() == [[1, 0, 0, 0, 0, 0, 0], [1 / 7] * 7]
    for name in SEARCH.actions:
        assert list(SEARCH.parameters(name)) == list(NAMES)
        assert sum(SEARCH.parameters(name).values()) == pytest.approx(1)
    with pytest.raises(FieldError):
        SEARCH.parameters("best")


def test_weights_are_read_as_a_list_or_by_name() -> None:
    by_name = dict(zip(NAMES, range(7), strict=True))
    assert read_weights(by_name) == read_weights(list(range(7)))
    for wrong, field in [
        ([1] * 6, "action"),
        ("1234567", "action"),
        ([1] * 6 + [True], "action[6]"),
        ({**by_name, "W_NEW": 1}, "action.W_NEW"),
    ]:
        with pytest.raises(FieldError) as refused:
            read_weights(wrong)
        assert refused.value.field == field
