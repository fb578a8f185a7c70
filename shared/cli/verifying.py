"""Files of decisions: a JSON document, or one on each line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson


def read_decisions(text: str) -> list[dict[str, Any]]:
    """The decisions in a file. Raises ValueError naming the line that holds none."""
    try:
        return list(_flat(orjson.loads(text), "the file"))
    except orjson.JSONDecodeError:
        pass
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found += _flat(orjson.loads(line), f"line {number}")
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON: {error}") from None
    if not found:
        raise ValueError("holds no decision")
    return found


def _flat(document: Any, place: str) -> Iterator[dict[str, Any]]:
    """A decision, a reply to a batch, or a list of decisions."""
    if isinstance(document, dict) and isinstance(document.get("decisions"), list):
        document = document["decisions"]
    for each in document if isinstance(document, list) else [document]:
        if not isinstance(each, dict):
            raise ValueError(f"{place} must hold objects, one for each decision")
        yield each
