"""The chat assistant: its latest feedback counts, labels, preferences, samples and variants."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.assistant.application import Assistant
from shared.applications.assistant.feedback import Pair, pairs, read_feedback
from shared.applications.contract import FieldError
from shared.applications.experiments import experiment_of
from shared.applications.lines import reward_lines
from shared.applications.registry import load
from tests.applications.rewards import one, row, together

LOADED = load()["assistant"]
assert isinstance(LOADED, Assistant)
ASSISTANT: Assistant = LOADED
WORTH = {"thumbs_up": 1.0, "thumbs_down": -1.0, "correction": -1.0}
SUBJECTS = [f"user-{number}" for number in range(4000)]


def line(feedback_type: str, **fields: Any) -> dict[str, Any]:
    return {"query": "why?", "response": "because", "feedback_type": feedback_type, **fields}


lines = st.one_of(
    st.sampled_from([line("thumbs_up"), line("thumbs_down"), line("correction", correction="so that")]),
    st.integers(1, 5).map(lambda stars: line("rating", rating=stars)),
)


@given(st.lists(st.lists(lines, max_size=4), max_size=8))
def test_the_latest_feedback_counts_alone(decisions: list[list[dict[str, Any]]]) -> None:
    def plain(told: list[dict[str, Any]]) -> float:
        if not told:
            return 0.0
        last = told[-1]
        return WORTH.get(last["feedback_type"], (last.get("rating", 3) - 3) / 2)

    groups = [[each for given in told for each in ASSISTANT.read_line(given)] for told in decisions]
    found = together(ASSISTANT, groups)
    assert found.reward.tolist() == list(map(plain, decisions))
    assert sum(found.components.values()).tolist() == found.reward.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize("broken", [row("rating", 6), row("rating"), row("applause", 1), row("rating", 0)])
def test_what_no_reader_would_have_let_through_does_not_count(broken: dict[str, Any]) -> None:
    assert one(ASSISTANT, row("thumbs_down"), broken) == -1


def test_the_stream_holds_what_training_needs() -> None:
    given_line = line("correction", correction="so that", metadata={"session": 7})
    [interaction] = ASSISTANT.read_line(given_line)
    texts = {each["name"]: each["text"] for each in interaction["attributes"]}
    assert texts == {
        "query": "why?",
        "response": "because",
        "correction": "so that",
        "metadata": '{"session":7}',
    }
    assert ASSISTANT.attributes({"query": "why?"}) == [{"name": "query", "number": None, "text": "why?"}]


@pytest.mark.parametrize(
    ("given_line", "positive"),
    [
        (line("thumbs_up"), True),
        (line("thumbs_down"), False),
        (line("rating", rating=5), True),
        (line("rating", rating=4), True),
        (line("rating", rating=3), False),
        (line("correction", correction="so that"), False),
        (line("correction", correction="so that", rating=5), False),
    ],
)
def test_labels(given_line: dict[str, Any], positive: bool) -> None:
    assert read_feedback(given_line).positive is positive


def test_a_correction_is_preferred_to_the_response() -> None:
    told = [
        read_feedback(line("thumbs_up")),
        read_feedback(line("correction", correction="so that")),
        read_feedback(line("correction", correction="because")),
    ]
    assert list(pairs(told)) == [Pair("why?", "so that", "because")]


def test_metadata_that_is_no_json_is_refused_by_its_field() -> None:
    broken = b'{"query": "q", "response": "r", "feedback_type": "thumbs_up", "metadata": {"x": NaN}}'
    large = line("thumbs_up", metadata={"x": "y" * 70_000})
    [result] = reward_lines(ASSISTANT, [broken])
    assert "error" in result
    with pytest.raises(FieldError) as refused:
        read_feedback(large)
    assert refused.value.field == "metadata"


def test_a_third_of_subjects_is_asked_and_always_the_same() -> None:
    asked = {subject for subject in SUBJECTS if ASSISTANT.variants.collected(subject)}
    assert len(asked) / len(SUBJECTS) == pytest.approx(0.3, abs=0.025)
    assert asked == {subject for subject in SUBJECTS if ASSISTANT.variants.collected(subject)}
    assert {subject for subject in SUBJECTS if ASSISTANT.asked_of(subject)["collect_feedback"]} == asked
    more = ASSISTANT.variants.model_copy(update={"collection_rate": 0.5})
    assert asked < {subject for subject in SUBJECTS if more.collected(subject)}


def test_actions_are_variants_with_a_model() -> None:
    for name in ASSISTANT.actions:
        variant = ASSISTANT.variants.variants[name]
        assert ASSISTANT.parameters(name) == {"model": variant.model, "settings": variant.settings}
    with pytest.raises(FieldError):
        ASSISTANT.parameters("gpt")


def test_part_of_the_users_are_in_a_test_of_all_variants() -> None:
    test = experiment_of(ASSISTANT)
    assert test is not None
    assert (list(test.shares), test.control) == (ASSISTANT.actions, "base")
    assert sum(map(test.includes, SUBJECTS)) / len(SUBJECTS) == pytest.approx(0.1, abs=0.02)
