"""Dead letters: what they are, what they hold, and putting them back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kafka import KafkaProducer

from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.cli.topic_log import Log
from shared.wire.codec import WireError, decode
from shared.wire.schemas import schema

TOPIC = "dead-letters"
PREFIX = "__connect.errors."
REPLAYED = "__streamwheel.replayed"
"""Header of a record that was put back: the dead letter's id."""
PUT_BACK = ("decisions", "interactions")
"""Topics that anybody may write to. What else died is made anew by its own service."""
SEND_S = 30.0


@dataclass(frozen=True)
class DeadLetter:
    """A record that a service could not use. `topic`, `partition` and `offset` are where it came from."""

    id: str
    """`partition@offset` in the dead letters."""
    topic: str
    partition: int | None
    offset: int | None
    reason: str
    message: str
    stage: str
    time: int
    key: bytes | None
    value: bytes | None

    def document(self) -> dict[str, Any]:
        """As a line of JSON has it: everything but the bytes."""
        told = asdict(self)
        del told["value"]
        key = None if self.key is None else self.key.decode(errors="backslashreplace")
        return {**told, "key": key, "bytes": len(self.value or b"")}

    def record(self) -> dict[str, Any]:
        """The record that the bytes are. Raises WireError, or ValueError for a topic without a schema."""
        return decode(schema(self.topic), self.value)


def read(log: Log, prefix: str) -> Iterator[DeadLetter]:
    """Every dead letter, partition by partition; `prefix` is that of the cluster's topic names."""
    for partition in log.partitions(TOPIC):
        for records in log.read(TOPIC, partition):
            rows = zip(
                records.offsets.tolist(),
                records.timestamps.tolist(),
                records.keys,
                records.values,
                records.headers,
                strict=True,
            )
            for offset, time, key, value, headers in rows:
                yield _letter(f"{partition}@{offset}", time, key, value, headers, prefix)


def put_back(settings: BrokerSettings, letters: Iterable[DeadLetter]) -> tuple[list[str], dict[str, str]]:
    """Write the bytes of those that can be read now to where they came from, in their key's partition.

    Returns the ids of those that were written, and for the others id → why not. A record that is put back
    twice is known as a copy by its reader. Raises KafkaError.
    """
    written: list[str] = []
    refused: dict[str, str] = {}
    producer = KafkaProducer(**settings.kafka_python(), acks="all", enable_idempotence=True)
    try:
        for letter in letters:
            if letter.topic not in PUT_BACK:
                refused[letter.id] = f"it comes from {letter.topic or 'nowhere'}, which is not put back"
                continue
            try:
                key = str(letter.record()["decision_id"]).encode()
            except WireError as error:
                refused[letter.id] = str(error)
                continue
            topic = settings.topic(letter.topic)
            partition = partition_for(key, len(producer.partitions_for(topic)))
            headers = [(REPLAYED, letter.id.encode())]
            sent = producer.send(topic, key=key, value=letter.value, headers=headers, partition=partition)
            sent.get(timeout=SEND_S)
            written.append(letter.id)
    finally:
        producer.close()
    return written, refused


def _letter(
    identifier: str,
    time: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    prefix: str,
) -> DeadLetter:
    told = {
        name.removeprefix(PREFIX): text.decode(errors="backslashreplace") for name, text in headers if text
    }
    return DeadLetter(
        id=identifier,
        topic=told.get("topic", "").removeprefix(prefix),
        partition=_number(told.get("partition")),
        offset=_number(told.get("offset")),
        reason=told.get("exception.class.name", ""),
        message=told.get("exception.message", ""),
        stage=told.get("stage", ""),
        time=time,
        key=key,
        value=value,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
