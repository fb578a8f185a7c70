"""W3C trace context: what the specification accepts goes on, all else is left out."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry.tracing import STATE_LIMIT, begin, from_headers, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_a_child_is_a_new_span_of_the_same_trace() -> None:
    parent = parse(GOOD, "vendor=1")
    assert parent is not None
    child = parent.child(Random(1))
    assert (child.trace_id, child.flags, child.state) == (TRACE, 1, "vendor=1")
    assert child.span_id != SPAN
    assert from_headers(child.headers()) == child


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        GOOD.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{GOOD}-more",
        GOOD[:-1],
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_what_breaks_the_specification_is_no_span(header: str | None) -> None:
    assert parse(header) is None


def test_a_later_version_is_read_as_far_as_known() -> None:
    assert parse(f"01-{TRACE}-{SPAN}-01-what-comes-next") == parse(GOOD)


@pytest.mark.parametrize("state", ["x" * (STATE_LIMIT + 1), "a=1\r\nevil: 1", "ä=1"])
def test_a_state_that_is_too_long_or_not_printable_is_left_out(state: str) -> None:
    found = parse(GOOD, state)
    assert found is not None
    assert found.state == ""


@given(st.integers(0, 2**64))
def test_a_begun_trace_can_be_parsed(seed: int) -> None:
    trace = begin(Random(seed))
    assert parse(trace.traceparent) == trace


@given(st.binary(max_size=80))
def test_any_bytes_in_a_record_header_are_survived(raw: bytes) -> None:
    found = from_headers([("traceparent", raw), ("tracestate", None)])
    assert found is None or parse(found.traceparent) == found
