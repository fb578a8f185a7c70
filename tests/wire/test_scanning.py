"""The walk over a batch in step: what it reads, Polars reads alike; what is broken, it never takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wire import columns
from shared.wire.codec import SINGLE_OBJECT, encode
from shared.wire.columns import decode_columns
from shared.wire.scanning import Unfit, scan
from shared.wire.schemas import Schema, schema
from shared.wire.slices import Slices
from shared.wire.views import SKIPPED, view
from tests.wire.broken import broken
from tests.wire.samples import DECISION, SAMPLES, TOPICS, records

PREFIX = 10
FLAT = {"string", "int", "long", "float", "double", "boolean"}


def flat(topic: str) -> Schema:
    """The topic seen through its fields that are no nested lists."""
    whole = view(schema(topic), ())
    names = [field["name"] for field in whole.definition["fields"] if _plain(field["type"])]
    return view(schema(topic), tuple(names))


def _plain(kind: Any) -> bool:
    match kind:
        case {"type": "array", "items": items}:
            return items in ("float", "double")
        case {"type": inner}:
            return _plain(inner)
        case ["null", inner]:
            return _plain(inner)
    return kind in FLAT


def container(seen: Schema, raws: Sequence[bytes]) -> pl.DataFrame | None:
    return columns._container(seen, SINGLE_OBJECT, raws)


def scanned(seen: Schema, raws: Sequence[bytes]) -> pl.DataFrame | None:
    try:
        return scan(seen, PREFIX, Slices.of(raws))
    except Unfit:
        return None


@pytest.mark.parametrize("topic", TOPICS)
@given(data=st.data())
def test_any_records_are_read_as_polars_reads_them(topic: str, data: st.DataObject) -> None:
    written = data.draw(st.lists(records(schema(topic)), min_size=1, max_size=8))
    raws = [encode(schema(topic), record) for record in written]
    found, expected = scanned(flat(topic), raws), container(flat(topic), raws)
    assert expected is not None
    assert found is not None
    assert found.schema == expected.schema
    assert found.equals(expected)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("skipped", [True, False])
def test_a_batch_of_samples_needs_no_polars(topic: str, skipped: bool) -> None:
    seen = view(schema(topic), ()) if skipped else flat(topic)
    raws = [encode(schema(topic), SAMPLES[topic])] * 5
    found = scan(seen, PREFIX, Slices.of(raws))
    assert found.columns == [f["name"] for f in seen.definition["fields"] if not f.get(SKIPPED)]
    assert skipped or len(found) == 5


@pytest.mark.parametrize("topic", TOPICS)
@settings(max_examples=400)
@given(data=st.data())
def test_what_is_changed_at_will_is_taken_only_if_polars_takes_it(topic: str, data: st.DataObject) -> None:
    raw = encode(schema(topic), SAMPLES[topic])
    raws = [changed(raw, data) for _ in range(data.draw(st.integers(1, 3)))] + [raw]
    found, expected = scanned(flat(topic), raws), container(flat(topic), raws)
    assert found is None or (expected is not None and found.equals(expected))


def changed(raw: bytes, data: st.DataObject) -> bytes:
    """`raw` with some bytes of the body replaced, taken out or put in."""
    body = bytearray(raw)
    for _ in range(data.draw(st.integers(0, 3))):
        if len(body) == PREFIX:
            break
        at = data.draw(st.integers(PREFIX, len(body) - 1))
        match data.draw(st.sampled_from(["replace", "delete", "insert", "cut"])):
            case "replace":
                body[at] = data.draw(st.integers(0, 255))
            case "delete":
                del body[at]
            case "insert":
                body.insert(at, data.draw(st.integers(0, 255)))
            case "cut":
                del body[at:]
    return bytes(body)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_record_cut_or_moved_anywhere_is_not_taken(topic: str) -> None:
    raw = encode(schema(topic), SAMPLES[topic])
    prefix, body = raw[:PREFIX], raw[PREFIX:]
    for cut in range(len(body)):
        assert scanned(flat(topic), [raw, raw[: PREFIX + cut], raw]) is None
        assert scanned(flat(topic), [raw, prefix + body[:cut], prefix + body[cut:] + body, raw]) is None


@pytest.mark.parametrize("name", broken(schema("decisions"), encode(schema("decisions"), DECISION)))
def test_large_batches_set_broken_records_apart_like_small_ones(name: str) -> None:
    good = [encode(schema("decisions"), {**DECISION, "decision_id": f"d-{n}"}) for n in range(1500)]
    bad, reasons = broken(schema("decisions"), good[0])[name]
    raws: list[bytes | None] = [*good[:700], bad, *good[700:]]
    seen = view(schema("decisions"), ("decision_id", "propensity"))
    found = decode_columns(seen, raws)
    assert [(row, error.reason in reasons) for row, error in found.bad] == [(700, True)]
    assert found.frame["decision_id"].to_list() == [f"d-{n}" for n in range(1500)]
    assert found.rows.tolist() == [*range(700), *range(701, 1501)]


def test_rows_of_very_different_lengths_are_read_too() -> None:
    seen = flat("decisions")
    random = np.random.default_rng(1)
    raws = [
        encode(
            schema("decisions"),
            {
                **DECISION,
                "decision_id": "ü" * int(random.integers(0, 300)),
                "context": random.random(int(random.integers(0, 50))).astype(np.float32).tolist(),
                "policy_version": int(random.integers(-(2**62), 2**62)) >> int(random.integers(0, 62)),
            },
        )
        for _ in range(2000)
    ]
    expected = container(seen, raws)
    assert expected is not None
    assert scan(seen, PREFIX, Slices.of(raws)).equals(expected)


def test_lists_of_records_are_read_where_none_has_items() -> None:
    sample = SAMPLES["interactions"]
    full, bare = (encode(schema("interactions"), sample | more) for more in ({}, {"attributes": []}))
    found = scan(schema("interactions"), PREFIX, Slices.of([bare] * 3))
    expected = container(schema("interactions"), [bare] * 3)
    assert expected is not None
    assert found.equals(expected)
    assert found.schema == decode_columns(schema("interactions"), [full]).frame.schema
    with pytest.raises(Unfit):
        scan(schema("interactions"), PREFIX, Slices.of([bare, full]))


def test_one_giant_among_many_is_left_to_polars() -> None:
    giant = encode(schema("decisions"), {**DECISION, "decision_id": "x" * 200_000})
    raws = [giant] + [encode(schema("decisions"), DECISION)] * 1999
    with pytest.raises(Unfit, match="far longer"):
        scan(flat("decisions"), PREFIX, Slices.of(raws))
    assert len(decode_columns(flat("decisions"), raws).frame) == 2000
