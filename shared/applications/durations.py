"""Durations as people write them: "250ms", "5s", "10m", "1.5h", "7d", "2w"."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FORMAT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)
#: The longest wait or half-life that is taken for meant.
LONGEST = timedelta(days=3650)


def parse(text: object) -> timedelta:
    """The duration that `text` names, or itself. Raises a pydantic error that shows the form."""
    if isinstance(text, timedelta):
        return text
    match = _FORMAT.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise PydanticCustomError(
            "duration",
            "{given} is no duration: write a number and ms, s, m, h, d or w, as in 10m",
            {"given": repr(text)},
        )
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST.total_seconds():
        raise PydanticCustomError("duration", "{given} is longer than ten years", {"given": repr(text)})
    return timedelta(seconds=seconds)


def write(duration: timedelta) -> str:
    """The text of a duration in the largest unit that divides it."""
    thousandths = round(duration.total_seconds() * 1000)
    for unit, seconds in reversed(_SECONDS.items()):
        if thousandths % round(seconds * 1000) == 0:
            return f"{thousandths // round(seconds * 1000)}{unit}"
    raise AssertionError("every number of milliseconds is a number of ms")


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds, the unit of times in the log."""
    return round(duration.total_seconds() * 1000)


#: A field given as text, held as a timedelta, written as text.
Duration = Annotated[timedelta, BeforeValidator(parse), PlainSerializer(write)]
