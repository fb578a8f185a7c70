"""The evaluator as a process, what it reads, and what it writes."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
from aiokafka import AIOKafkaProducer

from shared.broker.settings import BrokerSettings
from shared.cli.topic_log import committed
from shared.wire.rollouts import Deployment, Evaluation, read_evaluation
from shared.wire.training import Candidate
from tests.broker.reading import read_all
from tests.processes import ServiceProcess
from tests.waiting import until


async def put(
    broker: BrokerSettings, topic: str, *values: Candidate | Evaluation | Deployment | bytes
) -> None:
    """Put records, or other bytes, on a topic."""
    producer = AIOKafkaProducer(**broker.aiokafka(), enable_idempotence=True)
    await producer.start()
    try:
        for each in values:
            value = each if isinstance(each, bytes) else each.encode()
            key = b"a key" if isinstance(each, bytes) else each.application.encode()
            await producer.send_and_wait(broker.topic(topic), value, key=key)
    finally:
        await producer.stop()


async def evaluations(broker: BrokerSettings) -> list[Evaluation]:
    """Everything on the topic evaluations."""
    found = await read_all(broker, broker.topic("evaluations"), partitions=1)
    return [read_evaluation(record.value) for record in found]


async def judged(broker: BrokerSettings, number: int, kind: str = "log") -> list[Evaluation]:
    """The evaluations of a kind, once there are so many."""
    found: list[Evaluation] = []

    async def there() -> bool:
        found[:] = [each for each in await evaluations(broker) if each.kind == kind]
        return len(found) >= number

    await until(there)
    return found


async def consumed(broker: BrokerSettings, offset: int) -> bool:
    """Whether candidates are done up to an offset, exactly."""
    found = await asyncio.to_thread(committed, broker, "evaluator")
    return ("candidates", 0) in found and found["candidates", 0].offset == offset


class EvaluatorProcess(ServiceProcess):
    """An evaluator that can be killed."""

    def __init__(self, broker: BrokerSettings, folder: Path, **environment: str | None) -> None:
        self.state = folder / "state"
        given = {
            "STREAMWHEEL_APPLICATIONS": str(folder / "applications"),
            "STREAMWHEEL_STATE": str(self.state),
            "STREAMWHEEL_INSTANCE": "evaluator-1",
            "STREAMWHEEL_LOOK_EVERY": "50ms",
        }
        super().__init__("services.evaluator", broker, folder / "evaluator.log", **given | environment)


def evaluating(
    broker: BrokerSettings, folder: Path, **environment: str | None
) -> AbstractAsyncContextManager[tuple[EvaluatorProcess, httpx.AsyncClient]]:
    """An evaluator that is ready, and a client of it, while the context is open."""
    return EvaluatorProcess(broker, folder, **environment).running()
