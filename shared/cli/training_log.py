"""Requests to train and their answers, as the topics have them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from kafka import KafkaProducer

from shared.broker.settings import BrokerSettings
from shared.cli.topic_log import Log
from shared.wire.codec import WireError
from shared.wire.training import Candidate, Trigger, read_candidate, read_trigger

TRIGGERS, CANDIDATES = "retrain-triggers", "candidates"
SEND_S = 30.0
LOOK_S = 0.2


def publish(settings: BrokerSettings, trigger: Trigger) -> None:
    """Return once all in-sync replicas have the request. Raises KafkaError, WireError."""
    producer = KafkaProducer(**settings.kafka_python(), acks="all", enable_idempotence=True)
    try:
        key = trigger.application.encode()
        producer.send(settings.topic(TRIGGERS), trigger.encode(), key=key, partition=0).get(timeout=SEND_S)
    finally:
        producer.close()


def document(candidate: Candidate) -> dict[str, Any]:
    """A record as JSON."""
    return {**asdict(candidate), "lineage": [span.record() for span in candidate.lineage]}


def jobs(log: Log) -> list[dict[str, Any]]:
    """Every request in the topics, as it stands; what joined another is told with that one."""
    stood: dict[str, Candidate] = {}
    for candidate in _candidates(log, log.end(CANDIDATES, 0)):
        stood[candidate.request_id] = candidate
    joined = {request for candidate in stood.values() for request in candidate.joined}
    waiting = [
        {"request_id": asked.request_id, "application": asked.application, "status": "waiting"}
        for asked in _triggers(log)
        if asked.request_id not in joined | stood.keys()
    ]
    return [*map(document, stood.values()), *waiting]


def follow(log: Log, request_id: str, begin: int, seen: Callable[[Candidate], None]) -> Candidate:
    """Wait for a request's answer, from an offset of `candidates` on; `seen` gets every record about it."""
    while True:
        end = log.end(CANDIDATES, 0)
        for candidate in _candidates(log, end, begin):
            if request_id in candidate.requests:
                seen(candidate)
                if candidate.terminal:
                    return candidate
        begin = end
        time.sleep(LOOK_S)


def _candidates(log: Log, end: int, begin: int = 0) -> Iterator[Candidate]:
    for records in log.read(CANDIDATES, 0, begin, end):
        for value in records.values:
            try:
                yield read_candidate(value)
            except WireError:  # not ours to judge: whoever consumes the topic does
                continue


def _triggers(log: Log) -> Iterator[Trigger]:
    for records in log.read(TRIGGERS, 0):
        for value in records.values:
            try:
                yield read_trigger(value)
            except WireError:  # the trainer puts it into the dead letters
                continue
