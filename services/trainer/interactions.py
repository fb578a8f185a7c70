"""The interactions behind archived rewards, from Kafka: texts that rewards do not hold.

Kafka keeps them as long as the archive keeps rewards. Nothing of an erased subject is used, since its rewards
are gone; what came after a reward's last archived revision is left out, so that the same rewards give the
same interactions whenever they are asked for.
"""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl
from kafka import KafkaConsumer, TopicPartition

from shared.algorithms.contract import Source
from shared.applications.contract import INTERACTION_COLUMNS
from shared.applications.settings import RewardSettings
from shared.broker.settings import BrokerSettings
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema

TOPIC = "interactions"
POLL_MS = 500
BATCH = 20_000
_ID = "interaction_id"
_KEPT = ("decision_id", _ID, "time", "offset", *INTERACTION_COLUMNS)


def read_interactions(
    broker: BrokerSettings, window: RewardSettings, rewards: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[Source, ...]]:
    """What followed the decisions of `rewards`, as the archive has them, each once, in order of time.

    Columns are decision_id, time (milliseconds) and those of INTERACTION_COLUMNS. A source for each partition
    names the offsets that the rows lie between. Raises kafka.errors.KafkaError.
    """
    grace = window.early_grace // timedelta(milliseconds=1)
    decided = rewards.group_by("partition", "decision_id").agg(
        pl.col("decision_time").min() - grace, pl.col("reward_time").max()
    )
    frames, sources = [_empty()], []
    consumer = _consumer(broker)
    try:
        for (partition,), mine in sorted(decided.group_by("partition")):
            found = _of_partition(consumer, TopicPartition(broker.topic(TOPIC), int(str(partition))), mine)
            if found.height:
                frames.append(found)
                sources.append(_source(int(str(partition)), found))
    finally:
        consumer.close()
    every = pl.concat(frames).sort("time", maintain_order=True)
    return every.select("decision_id", "time", *INTERACTION_COLUMNS), tuple(sources)


def _of_partition(consumer: Any, where: TopicPartition, decided: pl.DataFrame) -> pl.DataFrame:
    """Decoding goes record by record in batches; only what belongs to the decisions is held."""
    frames = [_empty()]
    first, last = decided["decision_time"].min(), decided["reward_time"].max()
    for frame in _batches(consumer, where, int(str(first)), int(str(last))):
        mine = frame.join(decided.drop("partition"), on="decision_id", maintain_order="left")
        frames.append(mine.filter(pl.col("time").is_between("decision_time", "reward_time")).select(_KEPT))
    return pl.concat(frames).unique(_ID, keep="first", maintain_order=True)


def _batches(consumer: Any, where: TopicPartition, first: int, last: int) -> Iterator[pl.DataFrame]:
    """Records appended at times in [first, last], as columns; what cannot be decoded counts in no reward."""
    consumer.assign([where])
    start, stop = (_offset(consumer, where, time) for time in (first, last + 1))
    consumer.seek(where, start)
    while consumer.position(where) < stop:
        records = consumer.poll(timeout_ms=POLL_MS, max_records=BATCH).get(where, ())
        columns = decode_columns(schema(TOPIC), [record.value for record in records])
        times, offsets = ([getattr(record, name) for record in records] for name in ("timestamp", "offset"))
        yield columns.frame.with_columns(
            pl.Series("time", times, pl.Int64).gather(columns.rows),
            pl.Series("offset", offsets, pl.Int64).gather(columns.rows),
        ).select(_KEPT)


def _offset(consumer: Any, where: TopicPartition, time: int) -> int:
    """Of the first record from a time on, or the end of the partition."""
    found = consumer.offsets_for_times({where: time})[where]
    return int(found.offset if found else consumer.end_offsets([where])[where])


def _consumer(broker: BrokerSettings) -> Any:
    return KafkaConsumer(
        **broker.kafka_python(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )


def _source(partition: int, found: pl.DataFrame) -> Source:
    offsets = found["offset"].to_list()
    digest = hashlib.sha256(found.write_ndjson().encode()).hexdigest()
    return Source(f"{TOPIC}-{partition}", digest, found.height, partition, min(offsets), max(offsets))


def _empty() -> pl.DataFrame:
    frame = decode_columns(schema(TOPIC), []).frame
    return frame.with_columns(time=pl.lit(0, pl.Int64), offset=pl.lit(0, pl.Int64)).select(_KEPT)
