"""The join as a quixstreams application: `join_asof` on the key, its state in RocksDB.

`python quixstreams_join.py BROKER PREFIX STATE`: reads PREFIXdecisions and PREFIXinteractions from their
beginning and writes Avro rewards to PREFIXquix-rewards until it is stopped. Guarantee (at least once) and
changelog topics are the library's defaults.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import fastavro
from quixstreams import Application  # type: ignore[import-not-found,unused-ignore]
from quixstreams.models import (  # type: ignore[import-not-found,unused-ignore]
    Deserializer,
    Serializer,
)

SCHEMAS = Path(__file__).resolve().parents[4] / "schemas"
HEADER = 10
"""Bytes of the single-object encoding before the record."""


class FromAvro(Deserializer):  # type: ignore[misc]
    """Single-object Avro to dictionaries; times stay integers, as the state is kept as JSON."""

    def __init__(self, name: str) -> None:
        super().__init__()
        definition = fastavro.schema.load_schema(str(SCHEMAS / f"{name}.avsc"))
        self._schema = fastavro.parse_schema(_without_times(definition), _force=True)

    def __call__(self, value: bytes, ctx: Any) -> Any:
        return fastavro.schemaless_reader(io.BytesIO(value[HEADER:]), self._schema)


class ToAvro(Serializer):  # type: ignore[misc]
    """Dictionaries to Avro."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._schema = fastavro.schema.load_schema(str(SCHEMAS / f"{name}.avsc"))

    def __call__(self, value: Any, ctx: Any) -> bytes:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, self._schema, value)
        return stream.getvalue()


def reward(interaction: dict[str, Any], decision: dict[str, Any]) -> dict[str, Any]:
    """The record that a join ends in."""
    return {
        "decision": decision,
        "reward": interaction["value"],
        "components": [{"name": "sum", "value": interaction["value"]}],
        "previous_reward": 0.0,
        "revision": 0,
        "is_default": False,
        "interactions": 1,
        "reward_version": "peer",
        "decision_time": 0,
        "decision_offset": 0,
        "reward_time": 0,
    }


def _without_times(definition: Any) -> Any:
    if isinstance(definition, list):
        return [_without_times(part) for part in definition]
    if isinstance(definition, dict):
        hidden = ("logicalType", "__fastavro_parsed__", "__named_schemas")
        return {key: _without_times(part) for key, part in definition.items() if key not in hidden}
    return definition


def main(broker: str, prefix: str, state: str) -> None:
    """Join until SIGTERM."""
    app = Application(
        broker_address=broker,
        consumer_group=f"{prefix}quix-join",
        auto_offset_reset="earliest",
        state_dir=state,
        loglevel="WARNING",
    )
    topics = {
        name: app.topic(f"{prefix}{name}", value_deserializer=FromAvro(name), key_deserializer="bytes")
        for name in ("decisions", "interactions")
    }
    rewards = app.topic(f"{prefix}quix-rewards", value_serializer=ToAvro("rewards"), key_serializer="bytes")
    decisions, interactions = (app.dataframe(topics[name]) for name in ("decisions", "interactions"))
    joined = interactions.join_asof(decisions, how="inner", on_merge=reward, grace_ms=600_000)
    joined.to_topic(rewards)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:4])
