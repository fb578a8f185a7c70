"""The evaluator as a process: `python -m services.evaluator`."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import WARNING, getLogger

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from services.evaluator.api import Office, create_app
from services.evaluator.pages import Pages
from services.evaluator.service import Evaluator
from services.evaluator.settings import EvaluatorSettings
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.http.server import run
from shared.telemetry import logging
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics

log = logging.logger("evaluator")


class Worker:
    """The thread that owns the evaluator. If it fails, the process ends: it is started again."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self.failed = False
        self.thread = threading.Thread(target=self._work, name="candidates")

    def _work(self) -> None:
        try:
            self._evaluator.run()
        except BaseException as error:
            self.failed = True
            log.error("failed", error=f"{type(error).__name__}: {error}", exc_info=error)
            os.kill(os.getpid(), signal.SIGTERM)


def build(settings: EvaluatorSettings, broker: BrokerSettings) -> tuple[ASGIApp, Worker]:
    """The wired application, and the thread that it starts. Raises SettingsError."""
    metrics, health = Metrics(), Health(time.monotonic)
    applications = load([settings.applications] if settings.applications else [])
    pages = Pages(settings.state / "reports", settings.reports)
    evaluator = Evaluator(settings, broker, applications, pages, metrics, health)
    worker = Worker(evaluator)
    office = Office(settings, frozenset(applications), evaluator, pages, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.thread.start()
        yield
        evaluator.stop()
        await asyncio.to_thread(worker.thread.join)

    return create_app(office, health, lifespan), worker


def main() -> int:
    """Serve until told to stop; the exit status: 1 if it cannot serve, 2 for settings that are wrong."""
    try:
        settings, broker = EvaluatorSettings(), BrokerSettings()
        logging.configure("evaluator", settings.log_level)
        getLogger("kafka").setLevel(WARNING)  # every connection is a line otherwise
        app, worker = build(settings, broker)
    except (ValidationError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(app, settings.host, settings.port, settings.api_keys) or int(worker.failed)


if __name__ == "__main__":
    sys.exit(main())
