"""Batches to columns: equal to one by one, every broken record set apart and nothing else lost."""

import resource
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wire.codec import Confluent, decode, encode
from shared.wire.columns import decode_columns, float_matrix
from shared.wire.schemas import schema
from shared.wire.varints import varint
from tests.wire.broken import broken
from tests.wire.older import versions
from tests.wire.samples import DECISION, SAMPLES, TOPICS, records

DECISIONS = schema("decisions")
INTERACTIONS = schema("interactions")
RAW = encode(DECISIONS, DECISION)
BROKEN = broken(DECISIONS, RAW)


def numbered(count: int) -> list[bytes]:
    return [encode(DECISIONS, {**DECISION, "decision_id": f"d-{number}"}) for number in range(count)]


def ids(frame: pl.DataFrame) -> list[int]:
    return [int(value.removeprefix("d-")) for value in frame.get_column("decision_id")]


@pytest.mark.parametrize("topic", TOPICS)
@given(data=st.data())
def test_a_batch_decodes_to_what_its_records_decode_to(topic: str, data: st.DataObject) -> None:
    written = data.draw(st.lists(records(schema(topic)), max_size=8))
    raws = [encode(schema(topic), record) for record in written]
    columns = decode_columns(schema(topic), raws)
    assert columns.frame.to_dicts() == [decode(schema(topic), raw) for raw in raws] == written
    assert columns.rows.tolist() == list(range(len(raws)))
    assert columns.bad == []


@pytest.mark.parametrize("topic", TOPICS)
def test_column_types_do_not_depend_on_what_is_in_them(topic: str) -> None:
    full = decode_columns(schema(topic), [encode(schema(topic), SAMPLES[topic])]).frame
    assert full.columns == [field["name"] for field in schema(topic).definition["fields"]]
    for raws in ([], [None], [None, b"garbage"]):
        assert decode_columns(schema(topic), raws).frame.schema == full.schema
    assert full.schema.get("decided_at", pl.Int64) == pl.Int64


def test_a_caller_may_change_the_frame_of_an_empty_batch() -> None:
    decode_columns(DECISIONS, []).frame.drop_in_place("action")
    assert "action" in decode_columns(DECISIONS, []).frame.columns


@pytest.mark.parametrize("position", [0, 3, 9])
@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_record_costs_only_itself(name: str, position: int) -> None:
    raws: list[bytes | None] = [*numbered(10)]
    raws[position], reasons = BROKEN[name]
    columns = decode_columns(DECISIONS, raws)
    others = [row for row in range(10) if row != position]
    assert columns.rows.tolist() == others == ids(columns.frame)
    assert [(row, error.reason in reasons) for row, error in columns.bad] == [(position, True)]


@given(st.lists(st.sampled_from(["good", *sorted(BROKEN)]), max_size=30))
def test_any_mixture_of_good_and_broken_is_told_apart(kinds: list[str]) -> None:
    raws: list[bytes | None] = [*numbered(len(kinds))]
    for row, kind in enumerate(kinds):
        if kind != "good":
            raws[row] = BROKEN[kind][0]
    columns = decode_columns(DECISIONS, raws)
    good = [row for row, kind in enumerate(kinds) if kind == "good"]
    assert columns.rows.tolist() == good == ids(columns.frame)
    assert [row for row, _ in columns.bad] == [row for row, kind in enumerate(kinds) if kind != "good"]
    assert all(error.reason in BROKEN[kinds[row]][1] for row, error in columns.bad)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_record_cut_anywhere_is_set_apart(topic: str) -> None:
    raw = encode(schema(topic), SAMPLES[topic])
    for length in range(len(raw)):
        columns = decode_columns(schema(topic), [raw, raw[:length], raw])
        assert columns.frame.to_dicts() == [SAMPLES[topic]] * 2
        assert [row for row, _ in columns.bad] == [1]


@pytest.mark.parametrize("topic", TOPICS)
def test_bytes_moved_to_the_neighbour_are_noticed_although_the_whole_still_parses(topic: str) -> None:
    raw = encode(schema(topic), SAMPLES[topic])
    prefix, body = raw[:10], raw[10:]
    for cut in range(len(body)):
        short, long = prefix + body[:cut], prefix + body[cut:] + body
        columns = decode_columns(schema(topic), [raw, short, long, raw])
        assert (short + long[10:])[10:] == 2 * body
        assert columns.rows.tolist() == [0, 3]
        assert columns.frame.to_dicts() == [SAMPLES[topic]] * 2
        assert [row for row, _ in columns.bad] == [1, 2]


@settings(max_examples=300)
@given(st.data())
def test_a_record_means_the_same_alone_and_in_any_company(data: st.DataObject) -> None:
    mutated = [mutation(data) for _ in range(data.draw(st.integers(1, 6)))]
    together = decode_columns(INTERACTIONS, mutated)
    alone = [decode_columns(INTERACTIONS, [raw]) for raw in mutated]
    assert together.rows.tolist() == [row for row, columns in enumerate(alone) if columns.rows.size]
    assert together.frame.equals(pl.concat([columns.frame for columns in alone]))
    reasons = [(row, columns.bad[0][1].reason) for row, columns in enumerate(alone) if columns.bad]
    assert [(row, error.reason) for row, error in together.bad] == reasons


def mutation(data: st.DataObject) -> bytes:
    """An interaction in which a few bytes of the body were changed, taken out or put in."""
    raw = bytearray(encode(INTERACTIONS, SAMPLES["interactions"]))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(10, len(raw) - 1))
        end = at + data.draw(st.integers(0, 2))
        raw[at:end] = data.draw(st.binary(max_size=3))
        raw += bytes(max(0, 11 - len(raw)))
    return bytes(raw)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(varint(2**62), id="text"),
        pytest.param(varint(0) * 3 + varint(0) + varint(0) + varint(2**62), id="array"),
        pytest.param(varint(0) * 5 + varint(2**40) + bytes(5000), id="array with some items"),
        pytest.param(varint(0) * 5 + varint(-(2**63)) + varint(2**62), id="array in a sized block"),
    ],
)
def test_a_huge_declared_length_takes_no_memory(body: bytes) -> None:
    raws = [RAW, DECISIONS.prefix + body, RAW]
    decode_columns(DECISIONS, raws)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    columns = decode_columns(DECISIONS, raws * 20)
    assert columns.frame.height == 40
    assert [row for row, _ in columns.bad] == list(range(1, 60, 3))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_a_record_longer_than_its_topic_allows_is_set_apart_though_it_parses() -> None:
    text = b"s" * DECISIONS.limit
    long = DECISIONS.prefix + varint(len(text)) + text + RAW[11 + len(DECISION["decision_id"]) :]
    columns = decode_columns(DECISIONS, [RAW, long])
    assert columns.rows.tolist() == [0]
    assert [(row, error.reason) for row, error in columns.bad] == [(1, "too-large")]


def test_one_broken_record_among_ten_thousand_is_found_by_halving(monkeypatch: pytest.MonkeyPatch) -> None:
    raws = numbered(10_000)
    raws[7_123] = raws[7_123][:-1]
    sizes = count_reads(monkeypatch)
    columns = decode_columns(DECISIONS, raws)
    assert [row for row, _ in columns.bad] == [7_123]
    assert columns.frame.height == 9_999
    assert len(sizes) <= 1 + 2 * 14
    assert sum(sizes) < 3.1 * sizes[0]


def test_a_flood_of_broken_records_is_not_read_one_by_one_by_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = count_reads(monkeypatch)
    columns = decode_columns(DECISIONS, [RAW[:-1]] * 2_000)
    assert len(columns.bad) == 2_000
    assert len(sizes) < 100


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes given to Polars in each call from now on."""
    sizes: list[int] = []
    real = pl.read_avro

    def counting(source: Any, **options: Any) -> pl.DataFrame:
        sizes.append(len(source.getvalue()))
        return real(source, **options)

    monkeypatch.setattr(pl, "read_avro", counting)
    return sizes


def test_an_integer_in_more_bytes_than_needed_is_still_avro() -> None:
    padded = DECISIONS.prefix + b"\x86\x00" + RAW[11:]
    assert RAW[10] == 0x06
    assert decode(DECISIONS, padded) == DECISION
    assert decode_columns(DECISIONS, [RAW, padded, RAW]).frame.to_dicts() == [DECISION] * 3


def test_an_unknown_branch_of_a_union_reads_the_same_in_any_company() -> None:
    raw = encode(INTERACTIONS, SAMPLES["interactions"])
    at = raw.index(b"\x0aclick") + len(b"\x0aclick")
    assert raw[at] == 0x02
    odd = raw[:at] + b"\x08" + raw[at + 1 :]
    for company in ([], [raw], [raw[:-1]], [b"garbage"]):
        assert decode_columns(INTERACTIONS, [*company, odd]).frame.to_dicts()[-1] == SAMPLES["interactions"]


def test_arrays_in_blocks_of_either_form_are_read() -> None:
    sample = {**SAMPLES["interactions"], "attributes": []}
    raw = encode(INTERACTIONS, sample)
    item = b"\x02a\x00\x00"
    assert raw[-2:] == b"\x00\x00"
    in_two = raw[:-2] + varint(1) + item + varint(-1) + varint(len(item)) + item + b"\x00\x00"
    attribute = {"name": "a", "number": None, "text": None}
    expected = [sample, {**sample, "attributes": [attribute, attribute]}]
    assert decode_columns(INTERACTIONS, [raw, in_two]).frame.to_dicts() == expected


def test_older_versions_are_read_in_order_with_the_others(tmp_path: Path) -> None:
    old, new = versions(tmp_path)
    shorter = {key: value for key, value in DECISION.items() if key not in {"arm", "share"}}
    olds = [encode(old, {**shorter, "decision_id": f"d-{number}"}) for number in range(6)]
    raws = [olds[0], numbered(2)[1], None, olds[3], olds[4][:-1], olds[5]]
    columns = decode_columns(new, raws)
    assert ids(columns.frame) == columns.rows.tolist() == [0, 1, 3, 5]
    assert columns.frame.get_column("arm").to_list() == [None, "canary", None, None]
    assert [(row, error.reason) for row, error in columns.bad] == [(2, "null-value"), (4, "truncated")]


def test_a_batch_in_confluent_framing_is_read_too() -> None:
    framing = Confluent({7: DECISIONS.fingerprint})
    raws = [encode(DECISIONS, DECISION, framing), RAW, encode(DECISIONS, DECISION, framing)[:-1]]
    columns = decode_columns(DECISIONS, raws, framing)
    assert columns.frame.to_dicts() == [DECISION]
    assert [(row, error.reason) for row, error in columns.bad] == [(1, "bad-marker"), (2, "truncated")]


def test_numbers_that_are_none_pass_unchanged() -> None:
    record = {**SAMPLES["interactions"], "value": float("nan")}
    assert np.isnan(decode_columns(INTERACTIONS, [encode(INTERACTIONS, record)]).frame["value"][0])


def test_however_polars_fails_no_good_record_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = pl.read_avro
    for failure in (OSError("no"), pl.exceptions.ComputeError("no"), pl.exceptions.PanicException("no")):

        def fussy(source: Any, failure: BaseException = failure, **options: Any) -> pl.DataFrame:
            frame = real(source, **options)
            if frame.height > 200:
                raise failure
            return frame

        monkeypatch.setattr(pl, "read_avro", fussy)
        assert ids(decode_columns(DECISIONS, numbered(1000)).frame) == list(range(1000))


def test_an_interrupt_is_not_mistaken_for_a_broken_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: Any, **options: Any) -> pl.DataFrame:
        raise KeyboardInterrupt

    monkeypatch.setattr(pl, "read_avro", interrupted)
    with pytest.raises(KeyboardInterrupt):
        decode_columns(DECISIONS, [RAW])


class TestFloatMatrix:
    def series(self, rows: list[list[float]]) -> pl.Series:
        return pl.Series("context", rows, dtype=pl.List(pl.Float32))

    def test_lists_become_rows(self) -> None:
        matrix = float_matrix(self.series([[1, 2], [3, 4], [5, 6]]), 2)
        assert matrix.dtype == np.float32
        assert matrix.tolist() == [[1, 2], [3, 4], [5, 6]]

    def test_doubles_and_pieces_become_one_matrix(self) -> None:
        halves = [pl.Series("p", [[0.5, 0.25]], dtype=pl.List(pl.Float64))] * 2
        assert float_matrix(pl.concat(halves), 2).tolist() == [[0.5, 0.25]] * 2

    @pytest.mark.parametrize(("rows", "shape"), [([], (0, 3)), ([[], []], (2, 0))])
    def test_nothing_has_a_shape_too(self, rows: list[list[float]], shape: tuple[int, int]) -> None:
        assert float_matrix(self.series(rows), shape[1]).shape == shape

    def test_a_list_of_another_length_is_named(self) -> None:
        with pytest.raises(ValueError, match="row 1 of 'context' has 1 numbers, not 2"):
            float_matrix(self.series([[1, 2], [3]]), 2)


def test_no_topic_reads_records_of_another() -> None:
    for mine, theirs in pairwise(TOPICS):
        [(row, error)] = decode_columns(schema(mine), [encode(schema(theirs), SAMPLES[theirs])]).bad
        assert (row, error.reason) == (0, "unknown-fingerprint")
