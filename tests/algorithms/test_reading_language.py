"""What people said, from lines and from the archive, to the tables that language algorithms read."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shared.algorithms.contract import NotTrainable
from shared.algorithms.dpo.declaration import TABLES, Parameters
from shared.algorithms.dpo.samples import pairs
from shared.algorithms.reading.archive import tables, wants_interactions
from shared.algorithms.reading.decisions import ATTRIBUTES
from shared.algorithms.reading.files import DataError, read_file
from shared.algorithms.reward_model.samples import samples
from shared.applications.contract import INTERACTION_COLUMNS
from shared.applications.dashboard_widgets.prompts import widget_prompt
from shared.applications.registry import load

APPLICATIONS = load()
ASSISTANT, WIDGETS = APPLICATIONS["assistant"], APPLICATIONS["dashboard_widgets"]


def write(folder: Path, *lines: dict[str, Any]) -> Path:
    file = folder / "lines.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def said(kind: str, **more: Any) -> dict[str, Any]:
    return {"query": "Why?", "response": "So.", "feedback_type": kind, **more}


def entry(n: int, scenario: str, question: str = "q-1", **more: Any) -> dict[str, Any]:
    return {
        "entry_id": f"e-{n}",
        "question_id": question,
        "question": "How many?",
        "scenario": scenario,
        "fixture": "sales",
        "size": "small",
        "pipeline_meta": {"intent": {"domains": ["sales"], "entities": {"metric": "total"}}},
        **more,
    }


def rating(n: int, up: bool) -> dict[str, Any]:
    return {"entry_id": f"e-{n}", "rating": "up" if up else "down"}


def test_feedback_becomes_labels_and_corrections_preferences(tmp_path: Path) -> None:
    lines = [
        said("thumbs_up"),
        said("thumbs_down"),
        said("rating", rating=4),
        said("rating", rating=3),
        said("correction", correction="Because."),
        said("correction", correction="So."),
    ]
    found = read_file(ASSISTANT, write(tmp_path, *lines)).tables
    assert found["feedback"]["positive"].to_list() == [True, False, True, False, False, False]
    assert found["feedback"]["response"].unique().to_list() == ["So."]
    assert found["preferences"].rows() == [("Why?", "Because.", "So.")]


def test_feedback_without_corrections_has_no_preferences_and_still_teaches(tmp_path: Path) -> None:
    lines = [said(f"thumbs_{'up' if n % 2 else 'down'}", query=f"Why {n}?") for n in range(20)]
    found = samples(read_file(ASSISTANT, write(tmp_path, *lines)), 0.2, 10, 0)
    assert found.summary() == {
        "train_pairs": 0,
        "train_labels": 16,
        "train_positive_labels": found.labels["positive"].sum(),
        "held_out_pairs": 0,
        "held_out_labels": 4,
    }


def test_one_sided_feedback_is_refused(tmp_path: Path) -> None:
    data = read_file(ASSISTANT, write(tmp_path, *[said("thumbs_up", query=f"Why {n}?") for n in range(20)]))
    with pytest.raises(NotTrainable, match="16 of 16 labels to train on are positive"):
        samples(data, 0.2, 10, 0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (said("shrug"), "feedback_type: must be one of"),
        (said("rating"), "rating: missing"),
        (said("rating", rating=6), "rating: must be at most 5"),
        (said("correction"), "correction: missing"),
        ({"query": "Why?"}, "response: missing"),
        (said("thumbs_up", mood=1), "mood: unknown field"),
    ],
)
def test_wrong_feedback_is_named_by_line_and_field(
    line: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"line 2: {problem}"):
        read_file(ASSISTANT, write(tmp_path, said("thumbs_up"), line))


def test_entries_and_ratings_become_pairs_of_widgets_and_of_fixtures(tmp_path: Path) -> None:
    lines = [
        entry(1, "kpi"),
        rating(2, False),  # a stream: the entry may come later
        entry(2, "table"),
        rating(1, False),
        rating(1, True),  # the latest one counts
        entry(3, "kpi", fixture="costs"),
        rating(3, False),
        entry(4, "pie", question="q-2"),
        rating(4, True),
    ]
    found = read_file(WIDGETS, write(tmp_path, *lines)).tables
    shown = found["preferences"].select("kind", "question_id", "chosen", "rejected").rows()
    assert shown == [
        ("widget", "q-1", "kpi (small)", "kpi (small), table (small)"),
        ("fixture", "q-1", "sales", "costs"),
    ]
    assert found["ratings"].rows() == [("q-1", True), ("q-1", False), ("q-1", False), ("q-2", True)]
    assert set(TABLES["preferences"]) < set(found["preferences"].columns)


def test_pairs_made_before_are_read_as_they_are(tmp_path: Path) -> None:
    pair = {"kind": "widget", "question_id": "q", "prompt": "p", "chosen": "kpi (s)", "rejected": "pie (s)"}
    found = read_file(WIDGETS, write(tmp_path, pair)).tables
    assert found["preferences"].to_dicts() == [pair]


def test_what_does_not_go_together_is_named_by_its_line(tmp_path: Path) -> None:
    lines = [entry(1, "kpi"), rating(9, True), entry(1, "pie"), rating(1, True)]
    with pytest.raises(DataError) as error:
        read_file(WIDGETS, write(tmp_path, *lines))
    assert "line 2: entry_id: 'e-9' is rated, but there is no such entry" in str(error.value)
    assert "line 3: entry_id: 'e-1' is the id of another entry too" in str(error.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (entry(1, "hologram"), "scenario: must be one of"),
        ({"entry_id": "e", "rating": "maybe"}, "rating: must be one of"),
        ({"entry_id": "e"}, "question_id: missing"),
        ({"chosen": "a"}, "kind: missing"),
    ],
)
def test_wrong_widgets_are_named_by_line_and_field(
    line: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"line 2: {problem}"):
        read_file(WIDGETS, write(tmp_path, entry(0, "kpi"), line))


def test_ratings_that_make_no_pair_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    lines = [line for n in range(60) for line in (entry(n, "kpi", f"q-{n % 3}"), rating(n, True))]
    data = read_file(WIDGETS, write(tmp_path, *lines))
    with pytest.raises(NotTrainable, match="of 60 ratings of 3 questions 60 are up and 0 down"):
        pairs(data, Parameters(), 0)


def rewards(attributes: list[dict[str, str]], values: list[float], actions: list[str]) -> pl.DataFrame:
    """As the archive has them."""
    named = [
        [{"name": name, "number": None, "text": text} for name, text in each.items()] for each in attributes
    ]
    return pl.DataFrame(
        {
            "decision_id": [f"d-{n}" for n in range(len(values))],
            "revision": 0,
            "decision_time": range(len(values)),
            "action": actions,
            "reward": values,
            "is_default": [value == 0 for value in values],
            "attributes": pl.Series(named, dtype=ATTRIBUTES),
        }
    )


def test_archived_ratings_make_pairs_of_what_was_liked_more_often_than_not() -> None:
    asked = {
        "question_id": "q",
        "question": "How many?",
        "domains": '["sales"]',
        "entities": '{"metric":"total"}',
    }
    shown = [
        ("kpi", 1.0),
        ("kpi", 1.0),
        ("kpi", -1.0),
        ("pie", -1.0),
        ("table", 0.0),
        ("map", 1.0),
        ("map", -1.0),
    ]
    records = rewards(
        [asked | ({"size": "small"} if action == "kpi" else {}) for action, _ in shown],
        [value for _, value in shown],
        [action for action, _ in shown],
    )
    found = tables(WIDGETS, records)
    (pair,) = found["preferences"].to_dicts()
    assert (pair["chosen"], pair["rejected"]) == ("kpi (small)", "pie")
    assert pair["prompt"] == widget_prompt("How many?", ["sales"], {"metric": "total"})
    assert found["ratings"].height == 6
    assert "rewards" in found


def test_interactions_bring_what_rewards_do_not_tell() -> None:
    assert wants_interactions("assistant")
    assert not wants_interactions("dashboard_widgets")
    records = rewards([{"query": "Why?"}] * 3, [1.0, -1.0, 0.0], ["base"] * 3)
    alone = tables(ASSISTANT, records)["feedback"]
    assert alone.rows() == [("Why?", True), ("Why?", False)]

    def texts(**named: str) -> list[dict[str, Any]]:
        return [{"name": name, "number": None, "text": text} for name, text in named.items()]

    told = [
        ("d-0", "thumbs_up", None, texts(response="So.")),
        ("d-1", "correction", None, texts(response="So.", correction="Because.")),
        ("d-1", "rating", 4.0, texts(query="How?", response="Thus.")),
        ("d-1", "rating", 9.0, texts(response="Not stars.")),
        ("d-1", "thumbs_down", None, texts()),  # of what?
        ("d-9", "thumbs_up", None, texts(query="Who?", response="Erased.")),
        ("d-0", "opened", None, texts(response="No feedback.")),
    ]
    frame = pl.DataFrame(told, schema={"decision_id": pl.String, **INTERACTION_COLUMNS}, orient="row").filter(
        pl.col("decision_id") != "d-9"
    )
    found = tables(ASSISTANT, records, frame)
    assert found["feedback"].rows() == [
        ("Why?", "So.", True),
        ("Why?", "So.", False),
        ("How?", "Thus.", True),
    ]
    assert found["preferences"].rows() == [("Why?", "Because.", "So.")]
