"""One record at a time: round trips, what is refused and why, both framings, older versions."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.codec import Confluent, Framing, SingleObject, WireError, decode, encode
from shared.wire.schemas import schema
from tests.wire.broken import broken
from tests.wire.older import versions
from tests.wire.samples import DECISION, SAMPLES, TOPICS, records

REGISTERED = sorted(TOPICS, key=lambda topic: (topic != "decisions", topic))
CONFLUENT = Confluent({1000 + number: schema(topic).fingerprint for number, topic in enumerate(REGISTERED)})
DECISIONS = schema("decisions")
RAW = encode(DECISIONS, DECISION)


@pytest.mark.parametrize("framing", [SingleObject(), CONFLUENT], ids=["single-object", "confluent"])
@pytest.mark.parametrize("topic", TOPICS)
@given(data=st.data())
def test_what_is_encoded_is_decoded(topic: str, framing: Framing, data: st.DataObject) -> None:
    record = data.draw(records(schema(topic)))
    raw = encode(schema(topic), record, framing)
    assert raw.startswith(framing.prefix(schema(topic)))
    assert decode(schema(topic), raw, framing) == record


def test_both_framings_carry_the_same_body() -> None:
    assert encode(DECISIONS, DECISION, CONFLUENT)[5:] == RAW[10:]
    assert encode(DECISIONS, DECISION, CONFLUENT)[:5] == b"\x00\x00\x00\x03\xe8"


@pytest.mark.parametrize("name", broken(DECISIONS, RAW))
def test_a_broken_record_is_refused_with_its_reason(name: str) -> None:
    raw, reasons = broken(DECISIONS, RAW)[name]
    with pytest.raises(WireError) as refused:
        decode(DECISIONS, raw)
    assert refused.value.reason in reasons
    assert str(refused.value).startswith(f"{refused.value.reason}: ")


@pytest.mark.parametrize("topic", TOPICS)
def test_a_record_cut_anywhere_is_refused(topic: str) -> None:
    raw = encode(schema(topic), SAMPLES[topic])
    for length in range(len(raw)):
        with pytest.raises(WireError):
            decode(schema(topic), raw[:length])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "bad-marker"),
        (RAW, "bad-marker"),
        (b"\x00\x00\x00", "truncated"),
        (b"\x00\x00\x00\x00\x07" + RAW[10:], "unknown-fingerprint"),
        (b"\x00\x00\x00\x03\xe9" + RAW[10:], "unknown-fingerprint"),
        (b"\x00\x00\x00\x03\xe8" + RAW[10:] + b"\x00", "trailing-bytes"),
    ],
    ids=["empty", "other framing", "half a header", "no such id", "another topic's id", "trailing byte"],
)
def test_confluent_framing_refuses_what_is_not_its_own(raw: bytes, reason: str) -> None:
    with pytest.raises(WireError) as refused:
        decode(DECISIONS, raw, CONFLUENT)
    assert refused.value.reason == reason


def test_confluent_framing_needs_the_id_of_a_schema_to_write_it() -> None:
    with pytest.raises(WireError, match="no registry id for decisions"):
        encode(DECISIONS, DECISION, Confluent({}))


@pytest.mark.parametrize(
    "change",
    [
        {"propensity": "high"},
        {"policy_version": 2**63},
        {"context": None},
        {"attributes": [{"number": 1.0}]},
        {"colour": "red"},
    ],
)
def test_what_is_no_record_is_not_encoded(change: dict[str, object]) -> None:
    with pytest.raises(WireError) as refused:
        encode(DECISIONS, {**DECISION, **change})
    assert refused.value.reason == "malformed"


def test_a_missing_field_is_refused_unless_it_has_a_default() -> None:
    with pytest.raises(WireError, match="propensity"):
        encode(DECISIONS, {key: value for key, value in DECISION.items() if key != "propensity"})
    shorter = {key: value for key, value in DECISION.items() if key not in {"arm", "share"}}
    assert decode(DECISIONS, encode(DECISIONS, shorter)) == {**shorter, "arm": None, "share": None}


@pytest.mark.parametrize("topic", ["decisions", "rewards"])
def test_what_is_longer_than_its_topic_allows_is_not_encoded(topic: str) -> None:
    limit = schema(topic).limit
    record = {**DECISION, "subject_id": "s" * limit}
    with pytest.raises(WireError) as refused:
        encode(schema(topic), record if topic == "decisions" else {**SAMPLES[topic], "decision": record})
    assert refused.value.reason == "too-large"


def test_the_longest_decision_fits_into_a_reward() -> None:
    spare = DECISIONS.limit - len(RAW) - 2
    decision = {**DECISION, "subject_id": DECISION["subject_id"] + "s" * spare}
    assert len(encode(DECISIONS, decision)) == DECISIONS.limit
    encode(schema("rewards"), {**SAMPLES["rewards"], "decision": decision})


def test_times_are_written_from_datetimes_and_read_as_milliseconds() -> None:
    at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert encode(DECISIONS, {**DECISION, "decided_at": at}) == RAW


def test_a_time_beyond_any_calendar_is_read() -> None:
    far = {**DECISION, "decided_at": 2**62}
    assert decode(DECISIONS, encode(DECISIONS, far)) == far


def test_an_older_version_is_resolved_to_the_current_one(tmp_path: Path) -> None:
    old, new = versions(tmp_path)
    shorter = {key: value for key, value in DECISION.items() if key not in {"arm", "share"}}
    raw = encode(old, shorter)
    assert decode(new, raw) == {**shorter, "arm": None, "share": None}
    with pytest.raises(WireError) as refused:
        decode(new, raw[:-1])
    assert refused.value.reason == "truncated"
    with pytest.raises(WireError) as unknown:
        decode(old, RAW)
    assert unknown.value.reason == "unknown-fingerprint"
