"""One partition of decisions and interactions as the oracle wants it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from shared.applications.contract import INTERACTION_COLUMNS, Application
from shared.broker.partitioner import partition_for
from shared.cli.audit.oracle import Decision, Interaction
from shared.cli.topic_log import Log
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema

Watch = Callable[[pl.DataFrame], None]
"""Is shown every batch of decoded records that passes."""


@dataclass
class Inputs:
    """One partition, in log order."""

    decisions: list[Decision] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    frame: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(INTERACTION_COLUMNS)))
    """The interactions' columns that reward functions read."""
    unusable: dict[str, set[int]] = field(default_factory=lambda: {"decisions": set(), "interactions": set()})
    """Topic → offsets of records that cannot be read or must not be believed."""
    astray: dict[str, int] = field(default_factory=lambda: {"decisions": 0, "interactions": 0})
    """Topic → how many records lie in a partition that is not their key's."""


def read_inputs(
    log: Log, partition: int, applications: Mapping[str, Application], watches: Mapping[str, Watch]
) -> Inputs:
    """Read a partition of both topics to its end; `watches` by topic."""
    found, partitions = Inputs(), len(log.partitions("decisions"))
    for row, place in _rows(log, "decisions", partition, found, watches["decisions"]):
        if not _usable_decision(row, applications.get(row["application"])):
            found.unusable["decisions"].add(place.offset)
        elif partition_for(row["decision_id"].encode(), partitions) != partition:
            found.astray["decisions"] += 1
        else:
            found.decisions.append(
                Decision(
                    row["decision_id"],
                    row["application"],
                    row["deferred"],
                    place.time,
                    place.offset,
                    place.body,
                )
            )
    frames: list[pl.DataFrame] = []
    stream = _rows(log, "interactions", partition, found, watches["interactions"], frames)
    for number, (row, place) in enumerate(stream):
        if not _usable_interaction(row, applications):
            found.unusable["interactions"].add(place.offset)
        elif partition_for(row["decision_id"].encode(), partitions) != partition:
            found.astray["interactions"] += 1
        else:
            found.interactions.append(
                Interaction(
                    row["interaction_id"],
                    row["decision_id"],
                    row["application"],
                    row["type"],
                    place.time,
                    place.offset,
                    place.body,
                    number,
                )
            )
    if frames:
        found.frame = pl.concat(frames)
    return found


@dataclass(frozen=True)
class _Place:
    offset: int
    time: int
    body: int


_SCALARS = {
    "decisions": ("decision_id", "application", "deferred", "propensity", "probabilities", "context"),
    "interactions": ("interaction_id", "decision_id", "application", "type", "value"),
}


def _rows(
    log: Log,
    topic: str,
    partition: int,
    found: Inputs,
    watch: Watch,
    frames: list[pl.DataFrame] | None = None,
) -> Iterator[tuple[dict[str, Any], _Place]]:
    for records in log.read(topic, partition):
        columns = decode_columns(schema(topic), records.values)
        found.unusable[topic] |= {int(records.offsets[row]) for row, _ in columns.bad}
        watch(columns.frame)
        if frames is not None:
            frames.append(columns.frame.select(*INTERACTION_COLUMNS))
        places = zip(
            records.offsets[columns.rows].tolist(),
            records.timestamps[columns.rows].tolist(),
            [hash(records.values[row]) for row in columns.rows.tolist()],
            strict=True,
        )
        for row, place in zip(
            columns.frame.select(*_SCALARS[topic]).iter_rows(named=True), places, strict=True
        ):
            yield row, _Place(*place)


def _usable_decision(row: Mapping[str, Any], application: Application | None) -> bool:
    return (
        application is not None
        and row["decision_id"] != ""
        and 0 < row["propensity"] <= 1
        and len(row["context"]) == application.context_width
        and all(map(math.isfinite, row["context"]))
        and all(map(math.isfinite, row["probabilities"]))
    )


def _usable_interaction(row: Mapping[str, Any], applications: Mapping[str, Application]) -> bool:
    return (
        row["application"] in applications
        and row["decision_id"] != ""
        and row["interaction_id"] != ""
        and (row["value"] is None or math.isfinite(row["value"]))
    )
