"""Bytes of a body to JSON, strictly: what is not JSON is refused, NaN and the infinities by their field."""

import json
import math
from collections.abc import Iterator
from typing import Any

import orjson

from services.collector.handlers import Refused
from shared.http.errors import Problem, path


def parse(raw: bytes) -> Any:
    """The document. Raises `Refused`: 422 for numbers that are not finite, 400 for anything else."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if problems := list(_not_finite(raw)):
            raise Refused(problems) from error
        raise Refused([Problem("", f"no JSON: {error}")], status=400) from error


def _not_finite(raw: bytes) -> Iterator[Problem]:
    """The fields that hold NaN or an infinity, which Python's own parser would let through."""
    try:
        stack: list[tuple[tuple[str | int, ...], Any]] = [((), json.loads(raw))]
    except (ValueError, RecursionError):
        return
    while stack:
        place, value = stack.pop()
        if isinstance(value, float) and not math.isfinite(value):
            batched = len(place) > 1 and isinstance(place[1], int)
            index = place[1] if batched and isinstance(place[1], int) else None
            yield Problem(path(place[2:] if batched else place), "must be a finite number", index)
        elif isinstance(value, dict):
            stack += [((*place, key), item) for key, item in reversed(value.items())]
        elif isinstance(value, list):
            stack += [((*place, i), item) for i, item in reversed(list(enumerate(value)))]
