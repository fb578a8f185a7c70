"""Logs are JSON lines, whoever writes them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.telemetry.logging import configure, logger


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    found = io.StringIO()
    configure("collector", "INFO", found)
    yield found
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_carry_service_level_time_and_fields(stream: io.StringIO) -> None:
    logger("streamwheel.test").warning("lag", records=7, raw=b"\xff")
    [line] = lines(stream)
    assert (line["service"], line["level"], line["event"], line["records"]) == (
        "collector",
        "warning",
        "lag",
        7,
    )
    assert line["logger"] == "streamwheel.test"
    assert "timestamp" in line


def test_libraries_logs_and_tracebacks_are_json_too(stream: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("aiokafka").exception("failed on %s", "topic")
    [line] = lines(stream)
    assert line["event"] == "failed on topic"
    assert "ValueError: broken" in str(line["exception"])


def test_the_level_is_kept_and_context_is_added(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(trace_id="abc"):
        logger("x").debug("unseen")
        logger("x").info("seen")
    [line] = lines(stream)
    assert (line["event"], line["trace_id"]) == ("seen", "abc")
