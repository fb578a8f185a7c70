"""Archived rewards as samples: all of them, or those alone that interactions gave."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import polars as pl

from shared.applications.settings import Counted
from shared.archive.archive import Archive
from shared.archive.names import Part

_COLUMNS = ["decision_id", "decision_time", "is_default"]


@dataclass(frozen=True)
class Buffer:
    """The newest samples of an application."""

    size: int
    since: int
    """When the oldest of them was decided, milliseconds since 1970; 0 if there is none."""


class Samples:
    """Of one application; remembers of files that were counted which decisions have samples in them."""

    def __init__(self, archive: Archive, counted: Counted) -> None:
        self._archive, self._counted = archive, counted
        self._known: dict[str, pl.DataFrame] = {}

    def count(self, parts: Sequence[Part]) -> int:
        """How many samples are in these files. A decision whose feedback changed later is one sample."""
        if self._counted == "rewards":
            return sum(part.rows for part in parts)
        self._known = {part.name: self._of(part) for part in parts}
        return distinct(self._known.values()).height

    def newest(self, parts: Iterable[Part], most: int) -> Buffer:
        """The last `most` samples by the time of their decisions, of files of an application."""
        found = pl.DataFrame(schema={"decision_id": pl.String, "decision_time": pl.Int64})
        by_day = sorted(parts, key=lambda part: part.day, reverse=True)
        for _, group in groupby(by_day, key=lambda part: part.day):
            found = distinct([found, *map(self._of, group)])
            if found.height >= most:
                break
        times = found["decision_time"].sort(descending=True).head(most)
        return Buffer(len(times), int(times[-1]) if len(times) else 0)

    def _of(self, part: Part) -> pl.DataFrame:
        if part.name in self._known:
            return self._known[part.name]
        rows = self._archive.load(part, _COLUMNS)
        if self._counted == "feedback":
            rows = rows.filter(~pl.col("is_default"))
        return rows.select("decision_id", "decision_time")


def distinct(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Each decision once."""
    given = list(frames)
    if not given:
        return pl.DataFrame(schema={"decision_id": pl.String, "decision_time": pl.Int64})
    return pl.concat(given).unique("decision_id", keep="first", maintain_order=True)
