"""What the process is made of."""

import sys
import time

from pydantic import ValidationError

from services.online_bandit.learner.service import LearnerService
from services.online_bandit.learner.settings import LearnerSettings
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.broker.batches import run
from shared.broker.settings import BrokerSettings
from shared.http.keys import BindingRefused
from shared.telemetry import logging, server
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics


def serve() -> int:
    """Work until told to stop; the exit status."""
    try:
        settings, broker = LearnerSettings(), BrokerSettings()
        logging.configure("learner", settings.log_level)
        applications = load([settings.applications] if settings.applications else [])
    except (ValidationError, SettingsError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    metrics, health = Metrics(), Health(time.monotonic)
    service = LearnerService(settings, broker, applications, metrics, health)

    async def watch() -> None:
        keys = settings.api_keys
        async with server.serve(settings.host, settings.port, health, metrics.registry, keys):
            await service.watch()

    try:
        run(service.app, watch)
    except BindingRefused as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    except Exception:
        logging.logger(__name__).exception("the learner stops")
        return 1
    return 0
