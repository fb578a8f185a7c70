"""The deployer as a process: `python -m services.deployer`."""

import os
import signal
import sys
import threading
import time
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import WARNING, getLogger
from uuid import uuid4

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from services.deployer.api import Desk, create_app
from services.deployer.judging import rollout_settings
from services.deployer.models import Models
from services.deployer.notifying import Notifier
from services.deployer.service import Deployer
from services.deployer.settings import DeployerSettings
from services.deployer.verifying import Verifier
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.fetching import ArtefactCache
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.http.server import run
from shared.telemetry import logging
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics

log = logging.logger("deployer")


class Leader:
    """The deployer's thread. If it fails, the process ends: it is started again."""

    def __init__(self) -> None:
        self.failed = False

    def thread(self, deployer: Deployer) -> threading.Thread:
        """Not started."""

        def target() -> None:
            try:
                deployer.run()
            except BaseException as error:
                self.failed = True
                log.error("failed", error=f"{type(error).__name__}: {error}", exc_info=error)
                os.kill(os.getpid(), signal.SIGTERM)

        return threading.Thread(target=target, name="rollouts")


def build(settings: DeployerSettings, broker: BrokerSettings, leader: Leader) -> ASGIApp:
    """The wired application. Raises SettingsError."""
    metrics, health = Metrics(), Health(time.monotonic)
    applications = load([settings.applications] if settings.applications else [])
    for name, application in applications.items():
        try:
            rollout_settings(application)
        except ValueError as error:
            raise SettingsError(f"{name}: rollout: {error}") from error
    notifier = Notifier(settings, metrics)
    try:
        models = Models(settings)
    except NotExportable as error:
        raise SettingsError(str(error)) from error
    cache = ArtefactCache(settings.copies, settings.artefact_bytes)
    verifier = Verifier(cache, settings.storage_limit.total_seconds())
    deployer = Deployer(settings, broker, applications, metrics, health, notifier, models, verifier)
    desk = Desk(settings, broker, applications, deployer, metrics, lambda: str(uuid4()))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = leader.thread(deployer)
        notifier.start()
        models.start()
        verifier.start()
        thread.start()
        yield
        deployer.stop()
        await to_thread(thread.join)
        await to_thread(notifier.stop)
        await to_thread(models.stop)
        verifier.stop()

    return create_app(desk, health, lifespan)


def main() -> int:
    """Serve until told to stop; the exit status: 1 if it cannot serve, 2 for settings that are wrong."""
    leader = Leader()
    try:
        settings, broker = DeployerSettings(), BrokerSettings()
        logging.configure("deployer", settings.log_level)
        getLogger("kafka").setLevel(WARNING)  # every connection is a line otherwise
        getLogger("httpx").setLevel(WARNING)  # the addresses of webhooks hold secrets
        app = build(settings, broker, leader)
    except (ValidationError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(app, settings.host, settings.port, settings.api_keys) or int(leader.failed)


if __name__ == "__main__":
    sys.exit(main())
