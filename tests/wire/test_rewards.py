"""Spliced reward records: byte for byte what Avro writes for a reward with its decision inside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.codec import WireError, decode, encode
from shared.wire.columns import decode_columns
from shared.wire.rewards import encode_rewards
from shared.wire.schemas import schema
from tests.wire.older import versions
from tests.wire.samples import DECISION, PRIMITIVES, SAMPLES, records

DECISIONS = schema("decisions")
REWARDS = schema("rewards")
RAW = encode(DECISIONS, DECISION)
COLUMNS: dict[str, Any] = {key: value for key, value in SAMPLES["rewards"].items() if key != "decision"}
COLUMNS["components"] = {"click": 1.0}


@given(data=st.data())
def test_spliced_records_equal_avro_byte_for_byte(data: st.DataObject) -> None:
    written = data.draw(st.lists(records(REWARDS), max_size=6))
    names = data.draw(st.lists(PRIMITIVES["string"], max_size=3, unique=True))
    parts = {name: [data.draw(PRIMITIVES["double"]) for _ in written] for name in names}
    for row, record in enumerate(written):
        record["components"] = [{"name": name, "value": parts[name][row]} for name in names]
    raws = [encode(DECISIONS, record["decision"]) for record in written]
    plain = [name for name in COLUMNS if name != "components"]
    columns = {name: [record[name] for record in written] for name in plain}
    arrays = {name: array(name, values) for name, values in columns.items()}
    spliced = encode_rewards(raws, components=parts, **arrays)
    assert [raw.hex() for raw in spliced] == [encode(REWARDS, record).hex() for record in written]


def array(name: str, values: list[Any]) -> Any:
    if name == "reward_version":
        return values
    kinds = {"reward": np.float64, "previous_reward": np.float64, "is_default": np.bool_}
    return np.array(values, dtype=kinds.get(name, np.int64))


@pytest.mark.parametrize("varying", [None, *COLUMNS])
def test_one_value_may_stand_for_all(varying: str | None) -> None:
    columns = dict(COLUMNS)
    if varying == "components":
        columns["components"] = {"click": np.array([1.0, 1.0, 1.0])}
    elif varying is not None:
        columns[varying] = [COLUMNS[varying]] * 3
    assert encode_rewards([RAW] * 3, **columns) == [encode(REWARDS, SAMPLES["rewards"])] * 3


def test_no_decisions_give_no_rewards() -> None:
    assert encode_rewards([], **COLUMNS) == []
    assert encode_rewards([], **{**COLUMNS, "reward_version": [], "components": {}}) == []


def test_spliced_records_decode_as_columns_with_their_decisions() -> None:
    decisions = [encode(DECISIONS, {**DECISION, "decision_id": f"d-{number}"}) for number in range(300)]
    offsets = np.arange(300)
    frame = decode_columns(
        REWARDS, encode_rewards(decisions, **{**COLUMNS, "decision_offset": offsets})
    ).frame
    assert frame.get_column("decision_offset").to_list() == offsets.tolist()
    inner = frame.get_column("decision").struct.field("decision_id")
    assert inner.to_list() == [f"d-{number}" for number in range(300)]


LATER = ("arm", "share", "mixture_propensity")


def test_a_decision_of_an_older_version_is_resolved_first(tmp_path: Path) -> None:
    old, new = versions(tmp_path)
    shorter = {key: value for key, value in DECISION.items() if key not in LATER}
    raws = [RAW, encode(old, shorter), RAW]
    spliced = encode_rewards(raws, **COLUMNS, decision_schema=new)
    resolved = {**SAMPLES["rewards"], "decision": {**DECISION, **dict.fromkeys(LATER)}}
    assert [decode(REWARDS, raw) for raw in spliced] == [SAMPLES["rewards"], resolved, SAMPLES["rewards"]]
    assert spliced == [encode(REWARDS, decode(REWARDS, raw)) for raw in spliced]


def test_a_decision_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(WireError) as refused:
        encode_rewards([RAW, b"\xc3\x01" + bytes(8) + RAW[10:]], **COLUMNS)
    assert refused.value.reason == "unknown-fingerprint"


@pytest.mark.parametrize(
    "change",
    [
        {"reward": [1.0, 2.0]},
        {"components": {"click": [1.0, 2.0]}},
        {"reward_version": ["v1", "v1"]},
        {"revision": 2**31},
        {"interactions": [0, 0, -(2**31) - 1]},
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"outside of|for 3 records|broadcast"):
        encode_rewards([RAW] * 3, **{**COLUMNS, **change})


@pytest.mark.parametrize("change", [{"revision": 0.5}, {"decision_time": [1.5, 2.0, 3.0]}, {"is_default": 2}])
def test_a_column_of_another_kind_is_refused_instead_of_rounded(change: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Cannot cast"):
        encode_rewards([RAW] * 3, **{**COLUMNS, **change})
