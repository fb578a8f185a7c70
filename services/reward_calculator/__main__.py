"""`python -m services.reward_calculator`: the wiring of the process."""

import sys
import time
from functools import partial

from kafka import KafkaAdminClient

from services.reward_calculator.handlers import Handlers
from services.reward_calculator.service import RewardCalculator
from services.reward_calculator.settings import Settings
from shared.applications.files import SettingsError
from shared.applications.observing import reward_observers
from shared.applications.registry import load
from shared.broker.batches import run
from shared.broker.settings import BrokerSettings
from shared.telemetry import logging
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.server import serve


def partition_count(broker: BrokerSettings) -> int:
    """How many partitions decisions, interactions and rewards have. Raises KafkaError."""
    client = KafkaAdminClient(**broker.kafka_python())
    try:
        (topic,) = client.describe_topics([broker.topic("decisions")])
        return len(topic["partitions"])
    finally:
        client.close()


async def _serve(settings: Settings, calculator: RewardCalculator, health: Health, metrics: Metrics) -> None:
    async with serve(settings.host, settings.port, health, metrics.registry, settings.api_keys):
        await calculator.watch()


def main() -> int:
    """Run until SIGTERM."""
    settings, broker = Settings(), BrokerSettings()
    logging.configure("reward-calculator", settings.log_level)
    try:
        applications = load([settings.applications] if settings.applications else [])
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    metrics, health = Metrics(), Health(time.monotonic)
    observers = reward_observers(applications, metrics.registry)
    handlers = Handlers(applications, partition_count(broker), observers.keys())
    calculator = RewardCalculator(settings, broker, handlers, metrics, health, observers)
    run(calculator.app, partial(_serve, settings, calculator, health, metrics))
    return 0


if __name__ == "__main__":
    sys.exit(main())
