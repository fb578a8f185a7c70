"""The collector as a process: `python -m services.collector`."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from uuid import uuid4

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from services.collector.api import Collector, create_app
from services.collector.handlers import Rules
from services.collector.settings import CollectorSettings
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.broker.producers import BatchProducer
from shared.broker.settings import BrokerSettings
from shared.http.server import run
from shared.telemetry import logging
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics


def build(settings: CollectorSettings, broker: BrokerSettings) -> ASGIApp:
    """The wired application. Raises `SettingsError` for applications that cannot be loaded."""
    metrics, health = Metrics(), Health(time.monotonic)
    applications = load([settings.applications] if settings.applications else [])
    producer = BatchProducer(
        broker,
        max_buffered_bytes=settings.buffer_bytes,
        timeout_s=settings.kafka_limit.total_seconds(),
    )
    metrics.buffer_bytes.set_function(lambda: producer.buffered_bytes)
    health.check("kafka", lambda: None if producer.available else f"no answer from {broker.broker}")
    collector = Collector(
        rules=Rules(applications, settings),
        producer=producer,
        metrics=metrics,
        topic=broker.topic,
        clock=lambda: time.time_ns() // 1_000_000,
        new_id=lambda: str(uuid4()),
        random=Random(),  # noqa: S311 (span ids only)
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await producer.start()
        yield
        await producer.stop()

    return create_app(collector, health, lifespan)


def main() -> int:
    """Serve until told to stop; the exit status: 1 if it cannot serve, 2 for settings that are wrong."""
    try:
        settings, broker = CollectorSettings(), BrokerSettings()
        logging.configure("collector", settings.log_level)
        app = build(settings, broker)
    except (ValidationError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(app, settings.host, settings.port, settings.api_keys)


if __name__ == "__main__":
    sys.exit(main())
