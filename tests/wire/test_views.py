"""Views: the columns that are asked for, equal to those of the whole record; broken records set apart."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.wire.codec import encode
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from shared.wire.views import view
from tests.wire.broken import broken
from tests.wire.samples import SAMPLES, records

REWARDS = schema("rewards")
COLUMNS = ("decision.application", "decision.context", "reward", "revision")
RAW = encode(REWARDS, SAMPLES["rewards"])


def whole(raws: list[bytes | None]) -> pl.DataFrame:
    frame = decode_columns(REWARDS, raws).frame
    decision = frame["decision"].struct
    return pl.DataFrame(
        {
            "decision.application": decision.field("application"),
            "decision.context": decision.field("context"),
            "reward": frame["reward"],
            "revision": frame["revision"],
        }
    )


@given(data=st.data())
def test_a_view_reads_what_the_whole_schema_reads(data: st.DataObject) -> None:
    raws: list[bytes | None] = [
        encode(REWARDS, record) for record in data.draw(st.lists(records(REWARDS), max_size=8))
    ]
    seen = decode_columns(view(REWARDS, COLUMNS), raws)
    assert seen.bad == []
    assert seen.frame.equals(whole(raws))


def test_a_nested_record_may_be_asked_for_whole() -> None:
    frame = decode_columns(view(REWARDS, ("decision", "reward")), [RAW]).frame
    assert frame.equals(decode_columns(REWARDS, [RAW]).frame.select("decision", "reward"))


@pytest.mark.parametrize("fault", sorted(broken(REWARDS, RAW)))
def test_a_broken_record_is_set_apart_and_its_neighbours_are_read(fault: str) -> None:
    raw, reasons = broken(REWARDS, RAW)[fault]
    seen = decode_columns(view(REWARDS, ("decision.decision_id", *COLUMNS)), [RAW, raw, RAW])
    assert [(row, error.reason in reasons) for row, error in seen.bad] == [(1, True)]
    assert seen.rows.tolist() == [0, 2]
    assert seen.frame.drop("decision.decision_id").equals(whole([RAW, RAW]))


def test_nothing_gives_empty_columns_of_the_same_types() -> None:
    seen = view(REWARDS, COLUMNS)
    assert decode_columns(seen, []).frame.schema == decode_columns(seen, [RAW]).frame.schema
    assert np.array_equal(decode_columns(seen, [None]).rows, [])


def test_a_column_that_the_schema_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"rewards has no fields decision\.colour, wealth"):
        view(REWARDS, ("wealth", "decision.colour", "reward"))
