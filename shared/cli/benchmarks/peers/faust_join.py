"""The join as a stock Faust application: an agent for each topic, dictionaries between them.

`python faust_join.py BROKER PREFIX`: reads PREFIXdecisions and PREFIXinteractions from their beginning and
writes Avro rewards to PREFIXfaust-rewards until it is stopped. Nothing is durable but the rewards.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import fastavro
import faust

SCHEMAS = Path(__file__).resolve().parents[4] / "schemas"
HEADER = 10
"""Bytes of the single-object encoding before the record."""


def create(broker: str, prefix: str) -> Any:
    """The application."""
    schemas = {
        name: fastavro.schema.load_schema(str(SCHEMAS / f"{name}.avsc"), _write_hint=False)
        for name in ("decisions", "interactions", "rewards")
    }
    app = faust.App(
        f"{prefix}faust-join",
        broker=f"aiokafka://{broker}",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
    )
    raw = {"value_serializer": "raw", "key_serializer": "raw"}
    decisions = app.topic(f"{prefix}decisions", **raw)
    interactions = app.topic(f"{prefix}interactions", **raw)
    rewards = app.topic(f"{prefix}faust-rewards", **raw)
    known: dict[str, dict[str, Any]] = {}
    early: dict[str, dict[str, Any]] = {}

    async def emit(decision: dict[str, Any], interaction: dict[str, Any]) -> None:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, schemas["rewards"], reward(decision, interaction))
        await rewards.send(key=decision["decision_id"].encode(), value=stream.getvalue())

    @app.agent(decisions)  # type: ignore[untyped-decorator]
    async def decide(stream: Any) -> None:
        async for value in stream:
            decision = fastavro.schemaless_reader(io.BytesIO(value[HEADER:]), schemas["decisions"])
            known[decision["decision_id"]] = decision
            interaction = early.pop(decision["decision_id"], None)
            if interaction is not None:
                await emit(decision, interaction)

    @app.agent(interactions)  # type: ignore[untyped-decorator]
    async def interact(stream: Any) -> None:
        async for value in stream:
            interaction = fastavro.schemaless_reader(io.BytesIO(value[HEADER:]), schemas["interactions"])
            decision = known.get(interaction["decision_id"])
            if decision is None:
                early[interaction["decision_id"]] = interaction
            else:
                await emit(decision, interaction)

    return app


def reward(decision: dict[str, Any], interaction: dict[str, Any]) -> dict[str, Any]:
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


if __name__ == "__main__":
    application = create(*sys.argv[1:3])
    sys.argv[1:] = ["worker", "--without-web", "--loglevel=warn"]
    application.main()
