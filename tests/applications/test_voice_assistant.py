"""The voice assistant: its reward against a plain formula, what is stored, its variants."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.applications.contract import FieldError
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.applications.voice_assistant.application import VoiceAssistant
from shared.applications.voice_assistant.signals import Feedback, anonymous, hour, read_feedback
from shared.applications.voice_assistant.variants import read_variants
from tests.applications.rewards import one, row, together

LOADED = load()["voice_assistant"]
assert isinstance(LOADED, VoiceAssistant)
ASSISTANT: VoiceAssistant = LOADED
CALL = {
    "call_id": "call-1",
    "ts": "2026-01-31T23:59:59+02:00",
    "agent": "TOM",
    "profile": "it",
    "policy_variant": "v2b",
    "signals": {"resolution": True},
}
signals = st.fixed_dictionaries(
    {},
    optional={
        "resolution": st.booleans(),
        "user_rating": st.integers(1, 5),
        "barge_in_count": st.integers(0, 10**6),
        "repeats": st.integers(0, 10),
        "handover": st.booleans(),
        "duration_sec": st.floats(allow_nan=False, allow_infinity=False),
        "escalation": st.booleans(),
        "satisfaction": st.floats(-1, 1),
    },
)


def plain(given_signals: dict[str, Any]) -> float:
    """The specification's formula, for one call."""
    get = given_signals.get
    duration = get("duration_sec", 0)
    if duration <= 0:
        bonus = 0.0
    elif duration <= 180:
        bonus = 0.2 * duration / 180
    else:
        bonus = max(-0.2, 0.2 * (1 - (duration - 180) / 180))
    total = (
        0.6 * get("resolution", False)
        + 0.2 * (get("user_rating", 3) - 3) / 2
        - 0.1 * min(get("barge_in_count", 0), 3) / 3
        - 0.1 * min(get("repeats", 0), 3) / 3
        - 0.1 * get("handover", False)
        + bonus
    )
    return max(-1.0, min(1.0, total))


@given(st.lists(signals, max_size=8))
def test_many_calls_at_once_equal_the_formula_one_by_one(calls: list[dict[str, Any]]) -> None:
    found = together(ASSISTANT, [ASSISTANT.read_line(call) for call in calls]).reward
    assert found.tolist() == pytest.approx([plain(call) for call in calls], abs=1e-12)


@given(signals)
def test_the_whole_record_and_the_signals_alone_are_the_same(call: dict[str, Any]) -> None:
    assert ASSISTANT.read_line({**CALL, "signals": call}) == ASSISTANT.read_line(call)


def test_the_latest_value_of_each_signal_counts() -> None:
    told = [row("feedback", resolution=1, user_rating=1), row("feedback", user_rating=5)]
    assert one(ASSISTANT, *told) == pytest.approx(plain({"resolution": True, "user_rating": 5}))
    assert one(ASSISTANT, *told[::-1]) == pytest.approx(plain({"resolution": True, "user_rating": 1}))


@pytest.mark.parametrize(
    "broken",
    [
        {"user_rating": 9},
        {"user_rating": 2.5},
        {"resolution": 2},
        {"barge_in_count": -1},
        {"duration_sec": float("nan")},
        {"user_rating": "1"},
        {"repeats": None},
    ],
)
def test_what_no_reader_would_have_let_through_counts_as_absent(broken: dict[str, Any]) -> None:
    assert one(ASSISTANT, row("feedback", resolution=1), row("feedback", **broken)) == pytest.approx(0.6)


def test_null_signals_are_absent() -> None:
    assert ASSISTANT.read_line({"user_rating": None}) == ASSISTANT.read_line({})


def test_stored_events_are_anonymous() -> None:
    read = read_feedback(CALL)
    assert isinstance(read, Feedback)
    stored = read.stored()
    # echo -n call-1 | sha256sum
    assert stored["call"] == anonymous("call-1") == "anon_5d7963c4f471e142"
    assert stored["hour"] == "2026-01-31T21:00:00Z"
    assert "call-1" not in str(stored)
    assert "23:59" not in str(stored)


def test_a_decision_s_call_is_logged_anonymously() -> None:
    context = {"profile": "it", "call_id": "call-1", "ts": "2026-01-31T12:34:56"}
    logged = {each["name"]: each["text"] for each in ASSISTANT.attributes(context)}
    assert logged == {
        "profile": "it",
        "agent": "TOM",
        "call": anonymous("call-1"),
        "hour": "2026-01-31T12:00:00Z",
    }
    assert ASSISTANT.featurise(context).tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    with pytest.raises(FieldError) as refused:
        ASSISTANT.attributes({**context, "ts": "noon"})
    assert refused.value.field == "context.ts"


@given(st.datetimes(timezones=st.just(UTC)))
def test_hours_are_floored(moment: datetime) -> None:
    floored = datetime.fromisoformat(hour(moment))
    assert timedelta(0) <= moment - floored < timedelta(hours=1)
    assert (floored.minute, floored.second) == (0, 0)


def test_twelve_variants_are_balanced_over_every_two_slots() -> None:
    variants = ASSISTANT.variants
    assert list(variants.variants) == ASSISTANT.actions
    assert len(ASSISTANT.actions) == 12
    grid = variants.grid()
    assert len(grid) == len({tuple(slots.items()) for slots in grid}) == 48
    for name in ASSISTANT.actions:
        assert ASSISTANT.parameters(name) in grid
    for first, second in combinations(variants.slots, 2):
        pairs = [(slots[first], slots[second]) for slots in variants.variants.values()]
        assert {pairs.count(pair) for pair in pairs} == {
            12 // (len(variants.slots[first]) * len(variants.slots[second]))
        }


def test_a_variant_that_is_none_is_refused() -> None:
    with pytest.raises(FieldError) as refused:
        ASSISTANT.parameters("v9z")
    assert refused.value.field == "policy_variant"


@pytest.mark.parametrize("slots", ["{tone: warm}", "{tone: cold, length: short}"])
def test_variants_have_to_fit_the_slots(tmp_path: Path, slots: str) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text(f"slots: {{tone: [warm], length: [short]}}\nvariants: {{v1a: {slots}}}\n")
    with pytest.raises(SettingsError, match=r"variants\.yaml: variants\.v1a: "):
        read_variants(file)
