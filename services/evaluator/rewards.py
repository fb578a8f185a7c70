"""Logged rewards as columns, from Kafka."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from kafka import KafkaConsumer, TopicPartition

from shared.broker.settings import BrokerSettings
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from shared.wire.training import Span
from shared.wire.views import view

TOPIC = "rewards"
POLL_MS = 200
POLL_RECORDS = 5_000
FETCH_BYTES = 4 << 20
_OF_DECISION = (
    "decision_id",
    "application",
    "subject_id",
    "policy",
    "action",
    "propensity",
    "actions",
    "probabilities",
    "context",
    "mixture_propensity",
    "arm",
    "share",
)
_OF_REWARD = ("reward", "components", "previous_reward", "revision", "decision_time", "reward_time")
_PREFIX = "decision."
COLUMNS = (*(_PREFIX + name for name in _OF_DECISION), *_OF_REWARD)
ATTRIBUTES = _PREFIX + "attributes"
"""The column that candidates whose actions are vectors need too."""


@dataclass(frozen=True, eq=False)
class Logged:
    """Every revision of an application's rewards in ranges of offsets, in the order of each partition."""

    frame: pl.DataFrame
    spans: tuple[Span, ...]
    undecodable: int = 0


def decode(records: Sequence[Any], attributes: bool = False) -> tuple[pl.DataFrame, int]:
    """Records of one partition as columns, with `partition` and `offset`, the decisions' `attributes` if
    asked for; and how many are no rewards."""
    columns = (*COLUMNS, ATTRIBUTES) if attributes else COLUMNS
    found = decode_columns(view(schema(TOPIC), columns), [record.value for record in records])
    offsets = pl.Series("offset", [records[row].offset for row in found.rows.tolist()], dtype=pl.Int64)
    partition = records[0].partition if records else 0
    frame = found.frame.rename(lambda name: name.removeprefix(_PREFIX)).with_columns(
        offsets, pl.lit(partition, pl.Int32).alias("partition")
    )
    return frame, len(found.bad)


def empty(attributes: bool = False) -> pl.DataFrame:
    """The columns without rows."""
    return decode([], attributes)[0]


def consumer(broker: BrokerSettings, group: str | None = None) -> Any:
    """A consumer of committed rewards that is told where to read. Raises kafka.errors.KafkaError."""
    return KafkaConsumer(
        **broker.kafka_python(),
        group_id=broker.group(group) if group else None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=POLL_RECORDS,
        max_partition_fetch_bytes=FETCH_BYTES,
    )


def first_offsets(reader: Any, partitions: Iterable[TopicPartition], since: int) -> dict[TopicPartition, int]:
    """The first offset of each partition that the broker appended at `since` (milliseconds) or later."""
    wanted = list(partitions)
    found = reader.offsets_for_times(dict.fromkeys(wanted, max(0, since)))
    ends = reader.end_offsets(wanted)
    return {where: found[where].offset if found.get(where) else ends[where] for where in wanted}


def read_log(
    broker: BrokerSettings,
    application: str,
    partitions: int,
    since: int,
    most: int,
    attributes: bool = False,
    until: int | None = None,
) -> Logged:
    """The newest `most` or so rewards of an application that were appended since a time (milliseconds), and
    before `until` if that is given.

    Raises kafka.errors.KafkaError.
    """
    reader = consumer(broker)
    places = [TopicPartition(broker.topic(TOPIC), number) for number in range(partitions)]
    try:
        reader.assign(places)
        starts = first_offsets(reader, places, since)
        ends = reader.end_offsets(places) if until is None else first_offsets(reader, places, until)
        frames, spans, bad = [empty(attributes)], [], 0
        each = max(1, most // partitions)
        for where in places:
            frame, first, broken = _partition(
                reader, where, application, starts[where], ends[where], each, attributes
            )
            frames.append(frame)
            bad += broken
            if first < ends[where]:
                spans.append(Span(where.partition, first, ends[where]))
        return Logged(pl.concat(frames), tuple(spans), bad)
    finally:
        reader.close()


def _partition(
    reader: Any,
    where: TopicPartition,
    application: str,
    start: int,
    end: int,
    most: int,
    attributes: bool,
) -> tuple[pl.DataFrame, int, int]:
    reader.assign([where])
    reader.seek(where, start)
    held, rows, bad, first = deque[pl.DataFrame](), 0, 0, start
    while reader.position(where) < end:
        for records in reader.poll(timeout_ms=POLL_MS).values():
            before_end = [record for record in records if record.offset < end]
            frame, broken = decode(before_end, attributes)
            frame = frame.filter(pl.col("application") == application)
            bad += broken
            if frame.height:
                held.append(frame)
                rows += frame.height
        while len(held) > 1 and rows - held[0].height >= most:
            dropped = held.popleft()
            rows -= dropped.height
            first = int(dropped["offset"][-1]) + 1
    return pl.concat([empty(attributes), *held]), first, bad
