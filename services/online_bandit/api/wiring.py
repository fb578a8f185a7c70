"""What the process is made of."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from secrets import token_hex

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from services.online_bandit.api.app import create_app
from services.online_bandit.api.decider import Counters, Decider
from services.online_bandit.api.deployments import DeploymentStore
from services.online_bandit.api.encoding import Encoder
from services.online_bandit.api.endpoints import Activation, Limits, Many, One
from services.online_bandit.api.experimenting import Trial
from services.online_bandit.api.policies import PolicyStore
from services.online_bandit.api.publishing import Publisher
from services.online_bandit.api.remembered import Replies
from services.online_bandit.api.settings import ApiSettings
from services.online_bandit.api.spool import Spool
from services.online_bandit.api.switch import KillSwitch
from shared.applications.experiments import experiments
from shared.applications.files import SettingsError
from shared.applications.registry import load
from shared.broker.producers import BatchProducer
from shared.broker.settings import BrokerSettings
from shared.http.server import run
from shared.telemetry import logging
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics


def _now() -> int:
    return time.time_ns() // 1_000_000


def build(settings: ApiSettings, broker: BrokerSettings) -> ASGIApp:
    """The wired application. Raises `SettingsError` for applications that cannot be loaded."""
    applications = load([settings.applications] if settings.applications else [])
    metrics, health = Metrics(), Health(time.monotonic)
    producer = BatchProducer(
        broker,
        max_buffered_bytes=settings.buffer_bytes,
        timeout_s=settings.kafka_limit.total_seconds(),
    )
    metrics.buffer_bytes.set_function(lambda: producer.buffered_bytes)
    spool = Spool(settings.state / "spool", settings.spool_bytes)
    publisher = Publisher(producer, spool, metrics, settings.retry_pause.total_seconds())
    store = PolicyStore(
        applications, broker, metrics, health, _now, settings.state, settings.cache_pause.total_seconds()
    )
    deployments = DeploymentStore(
        *(applications, broker, metrics, health, _now, settings.state, settings.key, settings.artefact_bytes)
    )
    decider = Decider(
        served=store.served,
        arms=deployments.arms,
        trials={name: Trial(each) for name, each in experiments(applications).items()},
        killed=lambda name: name in deployments.killed,
        encoders={name: Encoder(application) for name, application in applications.items()},
        counters={name: Counters(metrics, name, policy.name) for name, policy in store.served.items()},
        publisher=publisher,
        replies=Replies(settings.remembered),
        metrics=metrics,
        topic=broker.topic,
        clock=_now,
        new_id=partial(token_hex, 16),
    )
    limits = Limits(settings.body_limit, settings.batch_limit)
    random = Random()  # noqa: S311 (span ids only)
    endpoints = [kind(decider, applications, limits, random) for kind in (One, Many, Activation)]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await producer.start()
        await publisher.start()
        wait_s = settings.policy_wait.total_seconds()
        await asyncio.gather(store.start(wait_s), deployments.start(wait_s))
        yield
        await publisher.stop()
        await producer.stop()
        await asyncio.gather(store.stop(), deployments.stop())

    switch = KillSwitch(store.served, deployments, publisher, metrics, broker.topic, _now, decider.new_id)
    return create_app(endpoints, store.served, deployments, switch, health, settings, lifespan)


def serve() -> int:
    """Serve until told to stop; the exit status."""
    try:
        settings, broker = ApiSettings(), BrokerSettings()
        logging.configure("decisions", settings.log_level)
        app = build(settings, broker)
    except (ValidationError, SettingsError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    # What lives from here on is never garbage: full collections of it would be pauses of milliseconds.
    gc.collect()
    gc.freeze()
    return run(app, settings.host, settings.port, settings.api_keys)
