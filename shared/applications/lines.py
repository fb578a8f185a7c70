"""`streamwheel reward`: JSON lines through an application's reward function."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import orjson
import polars as pl

from shared.applications.contract import INTERACTION_COLUMNS, Application, FieldError

_SCHEMA = pl.Schema(INTERACTION_COLUMNS)


def _result(application: Application, line: bytes | str) -> dict[str, Any]:
    broken = None
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        broken = {"error": f"no JSON: {error}"}
        document = _lenient(line)
    if not isinstance(document, dict):
        return broken or {"error": "the line must be an object"}
    try:
        interactions = application.read_line(document)
    except FieldError as error:
        return {"error": str(error)}
    if broken:
        return broken
    frame = pl.DataFrame(interactions, schema=_SCHEMA)
    found = application.reward(frame, np.zeros(len(interactions), np.int64), 1)
    components = {name: float(values[0]) for name, values in found.components.items()}
    return {"reward": float(found.reward[0]), "components": components}


def _lenient(line: bytes | str) -> Any:
    """What Python's own parser reads, which lets NaN and infinities through: the field is then named."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def reward_lines(application: Application, lines: Iterable[bytes | str]) -> Iterator[dict[str, Any]]:
    """For each line that is not blank {"reward", "components"}, or {"error"} naming the field."""
    return (_result(application, line) for line in lines if line.strip())
