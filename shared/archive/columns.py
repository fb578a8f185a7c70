"""Reward records to the archive's columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.wire.columns import decode_columns
from shared.wire.schemas import schema

#: Milliseconds.
DAY_MS = 86_400_000
#: The first moment of the year 10000, which has no date.
_NO_DATE_MS = 253_402_300_800_000
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
"""An application's name, as its settings allow it."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Rewards as columns, and what could not become a row: reason → how many records."""

    frame: pl.DataFrame
    refused: Counter[str]


def decode(values: Sequence[bytes | None], offsets: NDArray[np.int64], partition: int) -> Decoded:
    """One row for each reward, in their order: the decision's fields, the reward's, `partition`, `offset`.

    Times stay integers, milliseconds since 1970. A record that is no reward, or has no date or application to
    be filed under, is counted by reason.
    """
    columns = decode_columns(schema("rewards"), values)
    refused = Counter[str](error.reason for _, error in columns.bad)
    frame = columns.frame.unnest("decision").with_columns(
        pl.lit(partition, pl.Int32).alias("partition"), pl.Series("offset", offsets[columns.rows])
    )
    dated = frame["decision_time"].is_between(0, _NO_DATE_MS, closed="left")
    named = frame["application"].is_in(_names(frame["application"]))
    refused["decision-time"] += frame.height - int(dated.sum())
    refused["application"] += int((dated & ~named).sum())
    if not (sound := dated & named).all():  # which it nearly always is, and a filter copies every column
        frame = frame.filter(sound)
    return Decoded(frame, +refused)


def _names(given: pl.Series) -> list[str]:
    """Which of them an application can have."""
    return [name for name in given.unique().to_list() if _NAME.fullmatch(name)]


def empty() -> pl.DataFrame:
    """The archive's columns without rows."""
    return decode([], np.array([], np.int64), 0).frame
