"""The entertainment recommender: rewards against a plain sum, states at their borders, parameters."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.contract import FieldError
from shared.applications.entertainment.application import Entertainment
from shared.applications.entertainment.moods import MOODS
from shared.applications.entertainment.state import (
    TRAITS,
    WIDTH,
    Context,
    StateSettings,
    TraitBins,
    time_of_day,
)
from shared.applications.entertainment.strategies import Strategies
from shared.applications.registry import load
from tests.applications.rewards import one, row, together

LOADED = load()["entertainment"]
assert isinstance(LOADED, Entertainment)
RECOMMENDER: Entertainment = LOADED
CONTEXT = {
    "openness": 0,
    "conscientiousness": 19.99,
    "extraversion": 20,
    "agreeableness": 100,
    "neuroticism": 79.5,
    "content_type": "video",
    "mood": "calm",
    "hour": 18,
}
BASE = {
    "like": 1,
    "dislike": -1,
    "complete": 0.5,
    "skip": -0.3,
    "share": 0.8,
    "play": 0.2,
    "view": 0.2,
}
moods = st.sampled_from([*MOODS, "bored"])
interactions = st.fixed_dictionaries(
    {"interaction_type": st.sampled_from(list(BASE))},
    optional={
        "completion_percentage": st.floats(0, 100),
        "mood_before": moods,
        "mood_after": moods,
        "duration_seconds": st.floats(0, 1e6),
    },
)


def plain(told: dict[str, Any]) -> float:
    """The specification's formula, for one interaction."""
    reward = BASE[told["interaction_type"]] + told.get("completion_percentage", 0) / 100 * 0.5
    if "mood_before" in told and "mood_after" in told:
        change = MOODS.get(told["mood_after"], 0) - MOODS.get(told["mood_before"], 0)
        reward += 0.5 * max(-1, min(1, change / 2))
    duration = told.get("duration_seconds", 0)
    return reward + (min(0.3, duration / 600) if duration > 30 else 0)


@given(st.lists(st.lists(interactions, max_size=4), max_size=6))
def test_interactions_of_a_decision_add_up(decisions: list[list[dict[str, Any]]]) -> None:
    groups = [RECOMMENDER.read_line({"interactions": told}) for told in decisions]
    expected = [sum(map(plain, told)) for told in decisions]
    assert together(RECOMMENDER, groups).reward.tolist() == pytest.approx(expected, abs=1e-9)


@given(interactions)
def test_one_interaction_is_a_list_of_one(told: dict[str, Any]) -> None:
    assert RECOMMENDER.read_line(told) == RECOMMENDER.read_line({"interactions": [told]})


@pytest.mark.parametrize(
    "broken",
    [
        row("stare", completion_percentage=100),
        row("view", completion_percentage=101),
        row("view", duration_seconds=-60),
        row("view", duration_seconds=float("inf")),
        row("view", mood_before="sad"),
        row("view", mood_before="sad", mood_after=3),
    ],
)
def test_what_no_reader_would_have_let_through_adds_nothing(broken: dict[str, Any]) -> None:
    expected = 1.0 if broken["type"] == "stare" else 1.2
    assert one(RECOMMENDER, row("like"), broken) == pytest.approx(expected)


def test_a_state_is_bins_content_mood_and_time() -> None:
    context = Context(**CONTEXT)
    assert RECOMMENDER.states.state(context) == "0-0-1-4-3|video|calm|evening"
    coarse = StateSettings(bins=TraitBins(agreeableness=2, extraversion=100))
    assert coarse.state(context) == "0-0-20-1-3|video|calm|evening"


@given(st.floats(0, 100), st.integers(1, 100))
def test_every_trait_has_a_bin(value: float, count: int) -> None:
    assert 0 <= StateSettings(bins=TraitBins(openness=count)).bin("openness", value) < count
    assert RECOMMENDER.states.bin("openness", value) == min(int(value / 20), 4)


def test_hours_are_times_of_day() -> None:
    named = "".join(time_of_day(hour)[0] for hour in range(24))
    assert named == "n" * 6 + "m" * 6 + "a" * 6 + "e" * 4 + "n" * 2


def test_logged_attributes_give_the_states_back() -> None:
    other = {**CONTEXT, "mood": "bored", "hour": 3, "content_type": "game"}
    rows = []
    for context in (CONTEXT, other):
        logged = RECOMMENDER.attributes(context)
        rows.append({each["name"]: each["text"] or each["number"] for each in logged})
    found = RECOMMENDER.states.states(pl.DataFrame(rows))
    assert found == ["0-0-1-4-3|video|calm|evening", "0-0-1-4-3|game|other|night"]


def test_the_vector_holds_traits_and_what_is_the_case() -> None:
    vector = RECOMMENDER.featurise(CONTEXT)
    assert vector.shape == (WIDTH,) == (RECOMMENDER.context_width,)
    assert vector[: len(TRAITS)].tolist() == pytest.approx([-1, -0.6002, -0.6, 1, 0.59], abs=1e-6)
    assert np.flatnonzero(vector[len(TRAITS) :]).tolist() == [1, 3 + list(MOODS).index("calm"), 3 + 12 + 2]


def test_twenty_seven_actions_have_their_parameters() -> None:
    assert len(RECOMMENDER.actions) == 27
    assert RECOMMENDER.actions == RECOMMENDER.strategies.names()
    assert RECOMMENDER.parameters("low_focused_familiar") == {
        "energy": {"min": 0, "max": 0.4, "valence": 0.3},
        "diversity": {"genre_count": 1, "exploration": 0.1},
        "popularity": {"min": 60, "max": 100},
    }
    assert RECOMMENDER.parameters("medium_balanced_mixed") == {
        "energy": {"min": 0.3, "max": 0.7, "valence": 0.5},
        "diversity": {"genre_count": 3, "exploration": 0.3},
        "popularity": {"min": 30, "max": 80},
    }
    assert RECOMMENDER.parameters("high_diverse_exploratory") == {
        "energy": {"min": 0.6, "max": 1, "valence": 0.7},
        "diversity": {"genre_count": 5, "exploration": 0.5},
        "popularity": {"min": 0, "max": 50},
    }
    with pytest.raises(FieldError, match="action"):
        RECOMMENDER.parameters("low_low_low")


def test_strategies_have_to_make_sense() -> None:
    good = RECOMMENDER.strategies.model_dump()
    with pytest.raises(ValueError, match="above min"):
        Strategies.model_validate({**good, "energy": {"low": {"min": 0.5, "max": 0.5, "valence": 0}}})
