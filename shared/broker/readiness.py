"""Waiting until Kafka answers."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from shared.broker.settings import BrokerSettings

POLL_SECONDS = 0.1
ANSWER_MS = 2_000
"""How long one question to Kafka may take before it is asked again."""


class BrokerError(RuntimeError):
    """Kafka could not be started or reached; the message says what to do."""


def wait_until_ready(
    settings: BrokerSettings,
    brokers: int = 1,
    timeout_s: float = 60.0,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Return when Kafka answers and counts at least `brokers` live brokers.

    `check` runs before every attempt and may raise to give up early. Raises BrokerError after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        check()
        problem = _problem(settings, brokers)
        if not problem:
            return
        if time.monotonic() > deadline:
            raise BrokerError(
                f"Kafka at {settings.broker} was not ready within {timeout_s:.0f} s: {problem}. "
                "Check that it runs and that STREAMWHEEL_BROKER names it."
            )
        time.sleep(POLL_SECONDS)


def _problem(settings: BrokerSettings, brokers: int) -> str:
    reachable, refusals = _knock(settings.servers)
    # Only once all that should be up listen: kafka-python leaves a socket behind for each that does not,
    # those it learns of from the others included.
    if len(reachable) < min(brokers, len(settings.servers)):
        return "; ".join(refusals)
    try:
        return _ask(settings.model_copy(update={"broker": ",".join(reachable)}), brokers)
    except (OSError, KafkaError) as error:
        return f"{type(error).__name__} {error}"


def _knock(servers: Sequence[str]) -> tuple[list[str], list[str]]:
    """The servers that accept a connection, and what was wrong with the others."""
    reachable, refusals = [], []
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=ANSWER_MS / 1000).close()
            reachable.append(server)
        except OSError as error:
            refusals.append(f"{server}: {error}")
    return reachable, refusals


def _ask(settings: BrokerSettings, brokers: int) -> str:
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # a broker that is starting is no news
    client = KafkaAdminClient(
        **settings.kafka_python(), bootstrap_timeout_ms=ANSWER_MS, request_timeout_ms=ANSWER_MS
    )
    try:
        alive = len(client.describe_cluster()["brokers"])
    finally:
        client.close()
    return "" if alive >= brokers else f"{alive} of {brokers} brokers are up"
