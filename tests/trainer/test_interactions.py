"""A training reads from Kafka what was said after the decisions that it is trained on."""

import asyncio
import io
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiokafka import AIOKafkaProducer

from services.trainer import training
from services.trainer.interactions import read_interactions
from services.trainer.orders import Orders
from shared.algorithms.contract import Dataset, NotTrainable
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.archive.reading import archived, read_rewards
from shared.broker.settings import BrokerSettings
from shared.wire.codec import encode
from shared.wire.schemas import schema
from tests.archive.records import commit, reward

LLAMA = Path(__file__).parents[1] / "data" / "stories260k"
WINDOW = load()["assistant"].settings.reward


def told(decision: int, n: int = 0, **changes: Any) -> bytes:
    texts = [{"name": "response", "number": None, "text": f"answer {n}"}]
    record = {
        "interaction_id": f"i-{decision}-{n}",
        "decision_id": f"d-{decision}",
        "application": "assistant",
        "type": "thumbs_up",
        "value": None,
        "attributes": texts,
        "occurred_at": None,
        **changes,
    }
    return encode(schema("interactions"), record)


async def tell(broker: BrokerSettings, partition: int, *values: bytes) -> list[int]:
    """The broker's times of these interactions."""
    producer = AIOKafkaProducer(**broker.aiokafka(), enable_idempotence=True)
    await producer.start()
    try:
        topic = broker.topic("interactions")
        sent = [await producer.send_and_wait(topic, value, partition=partition) for value in values]
        return [each.timestamp for each in sent]
    finally:
        await producer.stop()


def rewards(folder: Path, now: int, *numbers: int, until: int) -> pl.DataFrame:
    archive = Archive(folder)
    records = [
        reward(n, "assistant", decision_id=f"d-{n}", decision_time=now, reward_time=until) for n in numbers
    ]
    commit(archive, 1, 0, *records)
    return read_rewards(archive, "assistant", archived(archive, "assistant"))[0]


async def test_each_interaction_of_the_decisions_is_read_once_in_order(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    first, *_ = await tell(topics, 1, told(1), b"garbage", told(2), told(1), told(1, 1), told(3))
    last, *_ = await tell(topics, 1, told(2, 1))
    found = rewards(tmp_path, first, 1, 2, until=last)
    while time.time_ns() // 1_000_000 <= last:  # what comes later is not what the reward was made of
        await asyncio.sleep(0)
    await tell(topics, 1, told(2, 2), told(1, 2))
    frame, sources = read_interactions(topics, WINDOW, found)
    texts = [each[0]["text"] for each in frame["attributes"]]
    assert list(zip(frame["decision_id"], texts, strict=True)) == [
        ("d-1", "answer 0"),
        ("d-2", "answer 0"),
        ("d-1", "answer 1"),
        ("d-2", "answer 1"),
    ]
    (source,) = sources
    assert (source.file, source.partition, source.rows) == ("interactions-1", 1, 4)
    assert (source.first_offset, source.last_offset) == (0, 6)
    assert read_interactions(topics, WINDOW, found)[1] == sources
    assert read_interactions(topics, WINDOW, found.filter(pl.col("decision_id") == "d-1"))[0].height == 2


async def test_what_was_said_is_trained_on_and_named_in_the_lineage(
    topics: BrokerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = await tell(topics, 1, told(1), told(2, type="thumbs_down"))
    found = rewards(tmp_path / "archive", first, 1, 2, until=last)
    given: list[Dataset] = []

    def refuse(_: object, data: Dataset, *__: object) -> None:
        given.append(data)
        raise NotTrainable("that was all")

    monkeypatch.setattr(training.artefacts, "train", refuse)
    monkeypatch.setenv("STREAMWHEEL_BROKER", topics.broker)
    monkeypatch.setenv("STREAMWHEEL_TOPIC_PREFIX", topics.topic_prefix)
    spans = tuple(archived(Archive(tmp_path / "archive"), "assistant"))
    addresses = str(tmp_path / "archive"), str(tmp_path / "artefacts")
    orders = Orders("assistant", "reward_model", {"base_model": str(LLAMA)}, 1, spans, 0, *addresses)
    outcome = await asyncio.to_thread(training.train, orders, io.StringIO())
    assert (outcome.refused, found.height) == ("that was all", 2)
    (data,) = given
    assert data.tables["feedback"].select("response", "positive").rows() == [
        ("answer 0", True),
        ("answer 0", False),
    ]
    assert [source.partition for source in data.lineage] == [1, 1]
    assert data.lineage[1].file == "interactions-1"
