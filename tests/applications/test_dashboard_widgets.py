"""Dashboard widgets: ratings, preferences between widgets and fixtures, prompts, splits."""

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.contract import FieldError
from shared.applications.dashboard_widgets.application import DashboardWidgets
from shared.applications.dashboard_widgets.entries import Entry, Rated, Rating, rated, read_entry, read_rating
from shared.applications.dashboard_widgets.pairs import (
    Pair,
    fixture_pairs,
    read_pairs,
    split,
    widget_pairs,
    write_pairs,
)
from shared.applications.dashboard_widgets.prompts import SCENARIOS, widget_prompt
from shared.applications.registry import load
from tests.applications.rewards import one, row, together

LOADED = load()["dashboard_widgets"]
assert isinstance(LOADED, DashboardWidgets)
WIDGETS: DashboardWidgets = LOADED
ENTRY: dict[str, Any] = {
    "entry_id": "e-1",
    "question_id": "q-1",
    "question": "How are sales?",
    "scenario": "trend",
    "fixture": "sales-by-week",
    "size": "large",
    "description": "sales, weekly",
    "pipeline_meta": {"intent": {"domains": ["sales"], "entities": {"year": 2026, "region": ["north"]}}},
}


def entries(*shown: tuple[str, str, str, bool], question: str = "q-1") -> list[Rated]:
    """(scenario, size, fixture, liked) of each entry of a question."""
    ids = count()
    return [
        Rated(
            read_entry(
                {
                    **ENTRY,
                    "entry_id": f"{question}-{next(ids)}",
                    "question_id": question,
                    "scenario": scenario,
                    "size": size,
                    "fixture": fixture,
                }
            ),
            liked,
        )
        for scenario, size, fixture, liked in shown
    ]


@given(st.lists(st.lists(st.sampled_from(["up", "down"]), max_size=4), max_size=8))
def test_the_latest_rating_counts(decisions: list[list[str]]) -> None:
    groups = [
        [each for told in ratings for each in WIDGETS.read_line({"entry_id": "e", "rating": told})]
        for ratings in decisions
    ]
    expected = [{"up": 1.0, "down": -1.0}[ratings[-1]] if ratings else 0.0 for ratings in decisions]
    assert together(WIDGETS, groups).reward.tolist() == expected


@pytest.mark.parametrize("broken", [row("seen", rating="down"), row("rating", rating="no"), row("rating")])
def test_what_no_reader_would_have_let_through_does_not_count(broken: dict[str, Any]) -> None:
    assert one(WIDGETS, row("rating", rating="up"), broken) == 1


def test_the_stream_keeps_what_was_said() -> None:
    [interaction] = WIDGETS.read_line({"entry_id": "e-1", "rating": "up", "tags": ["big"], "notes": "good"})
    texts = {each["name"]: each["text"] for each in interaction["attributes"]}
    assert texts == {"entry_id": "e-1", "rating": "up", "tags": '["big"]', "notes": "good"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scenario": "radar"}, "scenario"),
        ({"fixture": None}, "fixture"),
        ({"question": ""}, "question"),
        ({"pipeline_meta": {}}, "pipeline_meta.intent"),
        ({"pipeline_meta": {"intent": {"domains": "sales"}}}, "pipeline_meta.intent.domains"),
        ({"pipeline_meta": {"intent": {}, "x": 1}}, "pipeline_meta.x"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_entries_are_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as refused:
        read_entry({**ENTRY, **change})
    assert refused.value.field == field


def test_there_are_nineteen_scenarios() -> None:
    assert tuple(WIDGETS.actions) == SCENARIOS
    assert len(SCENARIOS) == 19


def test_entries_meet_their_latest_ratings() -> None:
    shown = [read_entry({**ENTRY, "entry_id": name}) for name in ("e-1", "e-2", "e-3")]
    told = [
        Rating(entry_id=name, rating=each)  # type: ignore[arg-type]
        for name, each in [("e-3", "up"), ("e-1", "up"), ("e-3", "down")]
    ]
    found = rated(shown, told)
    assert [(each.entry.entry_id, each.liked) for each in found] == [("e-1", True), ("e-3", False)]
    with pytest.raises(FieldError, match="no such entry"):
        rated(shown, [read_rating({"entry_id": "e-9", "rating": "up"})])
    with pytest.raises(FieldError, match="two entries"):
        rated([shown[0], Entry(**ENTRY)], [])


def test_widget_pairs_are_one_for_each_question_with_both_sides() -> None:
    mixed = entries(
        ("trend", "large", "a", True),
        ("chart", "small", "a", True),
        ("trend", "large", "b", True),
        ("table", "small", "a", False),
    )
    liked = entries(("kpi", "small", "a", True), question="q-2")
    same = entries(("kpi", "small", "a", True), ("kpi", "small", "b", False), question="q-3")
    [pair] = widget_pairs([*mixed, *liked, *same])
    assert (pair.question_id, pair.chosen) == ("q-1", "chart (small), trend (large)")
    assert pair.rejected == "table (small)"
    assert pair.prompt.splitlines() == [
        "User query: How are sales?",
        f"Available scenarios: [{', '.join(SCENARIOS)}]",
        "Detected domains: sales",
        "Entities: year:2026, region:north",
    ]


def test_fixture_pairs_stay_within_a_scenario_and_a_limit() -> None:
    shown = entries(
        ("trend", "large", "good", True),
        ("trend", "large", "fine", True),
        ("trend", "large", "bad", False),
        ("trend", "large", "poor", False),
        ("table", "large", "other", False),
    )
    found = list(fixture_pairs(shown))
    assert [(pair.chosen, pair.rejected) for pair in found] == [
        ("good", "bad"),
        ("good", "poor"),
        ("fine", "bad"),
        ("fine", "poor"),
    ]
    assert list(fixture_pairs(shown, most=3)) == found[:3]
    assert "Scenario: trend" in found[0].prompt.splitlines()
    fixtures = "good (sales, weekly), fine (sales, weekly), bad (sales, weekly), poor (sales, weekly)"
    assert f"Available fixtures: [{fixtures}]" in found[0].prompt.splitlines()


def test_nothing_understood_is_no_line() -> None:
    assert len(widget_prompt("why", [], {}).splitlines()) == 2


pair_lists = st.lists(
    st.builds(
        Pair,
        kind=st.sampled_from(["widget", "fixture"]),
        question_id=st.integers(0, 30).map(str),
        prompt=st.text(min_size=1),
        chosen=st.text(min_size=1),
        rejected=st.text(min_size=1),
    )
)


@given(pair_lists)
def test_pairs_survive_a_file(given_pairs: list[Pair]) -> None:
    assert list(read_pairs(write_pairs(given_pairs).splitlines())) == given_pairs


@pytest.mark.parametrize(
    ("line", "field"), [(b"{", "line 2"), (b'{"kind": "widget"}', "line 2.question_id"), (b"[]", "line 2")]
)
def test_a_broken_line_of_pairs_is_named(line: bytes, field: str) -> None:
    with pytest.raises(FieldError) as refused:
        list(read_pairs([b"", line]))
    assert refused.value.field == field


def test_a_split_keeps_questions_whole() -> None:
    made = [
        Pair(kind="widget", question_id=str(i // 3), prompt="p", chosen=str(i), rejected="r")
        for i in range(3000)
    ]
    train, held_out = split(made, eval_share=0.2)
    assert not {pair.question_id for pair in train} & {pair.question_id for pair in held_out}
    assert len(held_out) / len(made) == pytest.approx(0.2, abs=0.04)
    assert split(made, eval_share=0.2) == (train, held_out)
    assert split(made, seed=1, eval_share=0.2) != (train, held_out)


def test_a_context_is_logged_whole_and_prompted() -> None:
    context = {
        "question_id": "q-1",
        "question": "How are sales?",
        "domains": ["sales"],
        "entities": {"year": 2026},
    }
    logged = {each["name"]: each["text"] for each in WIDGETS.attributes(context)}
    assert logged == {
        "question_id": "q-1",
        "question": "How are sales?",
        "domains": '["sales"]',
        "entities": '{"year":2026}',
    }
    assert WIDGETS.featurise(context).shape == (WIDGETS.context_width,)
    assert WIDGETS.prompt(context).endswith("Entities: year:2026")
    assert WIDGETS.parameters("kpi") == {"scenario": "kpi"}
    with pytest.raises(FieldError):
        WIDGETS.parameters("radar")
