"""The trainer as a process: `python -m services.trainer`."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from logging import WARNING, getLogger
from uuid import uuid4

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from services.trainer.api import Office, create_app
from services.trainer.archiver import Archiver
from services.trainer.experiments import Experiments
from services.trainer.keeping import Keeper
from services.trainer.notifying import message
from services.trainer.service import Trainer
from services.trainer.settings import TrainerSettings
from services.trainer.watching import Watcher
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.broker.producers import BatchProducer
from shared.broker.settings import BrokerSettings
from shared.http.server import run
from shared.notifying.outbox import Outbox
from shared.telemetry import logging
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.wire.training import Candidate

log = logging.logger("trainer")


class Parts:
    """What runs beside the HTTP server. If one part fails, the process ends: it is started again."""

    def __init__(self) -> None:
        self.failed = False

    def end(self, error: BaseException) -> None:
        """Stop the process in order, with exit status 1."""
        self.failed = True
        log.error("failed", error=f"{type(error).__name__}: {error}", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)

    async def work(self, coroutine: object) -> None:
        """Await a part that is meant to run for ever."""
        try:
            await coroutine  # type: ignore[misc]
        except Exception as error:
            self.end(error)

    def thread(self, trainer: Trainer) -> threading.Thread:
        """The trainer's thread, not started."""

        def target() -> None:
            try:
                trainer.run()
            except BaseException as error:
                self.end(error)

        return threading.Thread(target=target, name="triggers")


def build(settings: TrainerSettings, broker: BrokerSettings, parts: Parts) -> ASGIApp:
    """The wired application. Raises SettingsError, OSError."""
    metrics, health = Metrics(), Health(time.monotonic)
    applications = load([settings.applications] if settings.applications else [])
    archive = Archive(settings.archive_address)
    archive.storage.clear_scratch()

    def clock() -> int:
        return time.time_ns() // 1_000_000

    producer = BatchProducer(broker, timeout_s=settings.kafka_limit.total_seconds())
    archiver = Archiver(settings, broker, archive, applications, metrics, health)
    backoff_s = settings.notify_backoff.total_seconds()
    outbox = Outbox(settings.channels(), metrics, settings.notify_attempts, backoff_s)

    def tell(ended: Candidate) -> None:
        outbox.put(message(ended))

    trainer = Trainer(settings, broker, applications, archive, metrics, health, archiver.flush, tell)
    experiments = Experiments(settings, applications, archive, metrics, health)
    office = Office(
        settings=settings,
        broker=broker,
        applications=applications,
        trainer=trainer,
        archive=archive,
        producer=producer,
        metrics=metrics,
        clock=clock,
        new_id=lambda: str(uuid4()),
        experiments=experiments,
        watchers={name: Watcher(each, archive) for name, each in applications.items()},
    )

    keeper = Keeper(settings, applications, archive, lambda: trainer.leads, office.publish, clock, health)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await producer.start()
        running = (archiver.run(), keeper.run(), experiments.run())
        tasks = [asyncio.create_task(parts.work(each)) for each in running]
        thread = parts.thread(trainer)
        outbox.start()
        thread.start()
        yield
        trainer.stop()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(thread.join)
        await asyncio.to_thread(outbox.stop)
        await producer.stop()

    return create_app(office, health, lifespan)


def main() -> int:
    """Serve until told to stop; the exit status: 1 if it cannot serve, 2 for settings that are wrong."""
    parts = Parts()
    try:
        settings, broker = TrainerSettings(), BrokerSettings()
        logging.configure("trainer", settings.log_level)
        getLogger("kafka").setLevel(WARNING)  # every connection is a line otherwise
        getLogger("httpx").setLevel(WARNING)  # the addresses of webhooks hold secrets
        app = build(settings, broker, parts)
    except (ValidationError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(app, settings.host, settings.port, settings.api_keys) or int(parts.failed)


if __name__ == "__main__":
    sys.exit(main())
