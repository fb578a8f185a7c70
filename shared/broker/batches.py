"""Workers of a consumer group whose agents take batches, and their running as a process."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Literal

import faust
import uvloop
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalGenerationError
from faust.types import TP
from mode.supervisors import CrashingSupervisor

from shared.broker.faust_batches import (
    Batch,
    Hooks,
    Offsets,
    Partitions,
    Transport,
    WholeBatches,
    joined,
)
from shared.broker.group_protocol import Member
from shared.broker.settings import BrokerSettings

__all__ = ["Batch", "BatchApp", "Hooks", "Offsets", "Partitions", "create_app", "joined", "run", "serve"]

MAX_POLL_MS = 2**31 - 1
"""aiokafka drops a consumer that takes nothing for so long, and then waits for it to take something. A full
queue must not end like that; whether a worker is stuck is told by its health checks."""
REBALANCE_MS = 60_000
"""How long a worker may take to finish what it has begun before its partitions go to others."""
STOP_SECONDS = 45.0
"""How long a worker may take to finish what it has begun when it is told to stop."""
HEARTBEATS = 10
"""Heartbeats in a session. A rebalance waits until every worker has heard of it with its next one."""
YOUNG_OBJECTS = 100_000
"""Allocated before Python looks for garbage among them by itself."""
GARBAGE_S = 1.0
"""Between searches for garbage of any age: a batch is few objects that hold megabytes, and Faust leaves some
in cycles, so the number of objects, which Python goes by, says nothing of the memory."""

Service = Callable[[], Coroutine[Any, Any, None]]


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust app whose agents take batches; see `create_app`."""

    def batches(self, *topics: str) -> Any:
        """The channel of an agent over topics of these full names: `@app.agent(app.batches("decisions"))`."""
        return self.topic(*topics, schema=WholeBatches())

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch no more of these until `resume` or revocation. What was fetched still reaches the agent."""
        self.consumer.paused.update(TP(*tp) for tp in partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these again."""
        self.consumer.paused.difference_update(TP(*tp) for tp in partitions)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the logs end now. Raises aiokafka.errors.KafkaError when Kafka cannot be asked."""
        ends = await self.consumer.highwaters(*(TopicPartition(*tp) for tp in partitions))
        return {TopicPartition(*tp): offset for tp, offset in ends.items()}

    async def earliest_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the logs begin now. Raises aiokafka.errors.KafkaError when Kafka cannot be asked."""
        starts = await self.consumer.earliest_offsets(*(TopicPartition(*tp) for tp in partitions))
        return {TopicPartition(*tp): offset for tp, offset in starts.items()}

    async def position(self, partition: TopicPartition) -> int:
        """The next offset to be fetched, behind transaction markers and aborted records.

        Batches up to there may still be on their way to the agent: where that matters, take
        `Batch.next_offset`. Raises aiokafka.errors.IllegalStateError for a partition not assigned here.
        """
        return int(await self.consumer.position(TopicPartition(*partition)))

    def member(self) -> Member:
        """Who this worker is in its group until its partitions change; to be asked when they are assigned.

        Raises aiokafka.errors.IllegalGenerationError when the group has given its place away meanwhile.
        """
        coordinator = self.consumer.coordinator
        generation = int(coordinator.generation)
        if generation < 0:
            raise IllegalGenerationError("this worker is no member of its group")
        return Member(coordinator.group_id, generation, coordinator.member_id, coordinator._group_instance_id)

    def _create_directories(self) -> None:
        """Faust keeps tables on disk; there are none."""


def create_app(
    name: str,
    settings: BrokerSettings,
    *,
    commits: Literal["faust", "none"] = "faust",
    hooks: Hooks | None = None,
    empty_batches: bool = False,
    instance: str | None = None,
    max_records: int = 20_000,
    max_partition_bytes: int = 1 << 20,
    min_bytes: int = 64 << 10,
    max_wait_ms: int = 25,
    buffered_batches: int = 16,
    commit_seconds: float = 0.5,
    session_ms: int = 10_000,
) -> BatchApp:
    """A worker of the consumer group `name`, to be given agents (with concurrency 1) and to `run`.

    Partition p of all topics with equally many partitions goes to the same worker. Of transactions only
    committed records are read. A batch is done when its agent asks for the next. With `commits` "faust",
    what is done is committed every `commit_seconds`, before a rebalance and on stopping; with "none" the
    service commits, to the same group. An agent that raises stops the worker, with its batch uncommitted.
    A group without commits begins with the oldest record.

    With `empty_batches` an agent also gets batches without records, when only transaction markers or aborted
    records were read, so that `next_offset` reaches the end of the log. `instance` names this worker among
    the group's: restarted within `session_ms` it takes up its partitions at once. `max_records` limits a
    fetch over all partitions, `max_partition_bytes` each partition's share (one larger record still comes);
    Kafka answers once it has `min_bytes`, or after `max_wait_ms` with what there is, so a trickle costs few
    fetches. `buffered_batches` limits how many wait for the agents before no more are fetched.
    """
    app = BatchApp(
        settings.group(name),
        **settings.faust(),
        version=1,
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        agent_supervisor=CrashingSupervisor,
        stream_buffer_maxsize=buffered_batches,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        broker_commit_interval=commit_seconds,
    )
    app.transport = transport = Transport(app.conf.broker_consumer, app)
    transport.commits, transport.empty_batches = commits == "faust", empty_batches
    transport.hooks = hooks or Hooks()
    transport.consumer = {
        **settings.aiokafka(),
        "group_id": settings.group(name),
        "group_instance_id": instance,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "partition_assignment_strategy": [RangePartitionAssignor],
        "max_poll_records": max_records,
        "max_partition_fetch_bytes": max_partition_bytes,
        "fetch_min_bytes": min_bytes,
        "fetch_max_wait_ms": max_wait_ms,
        "max_poll_interval_ms": MAX_POLL_MS,
        "rebalance_timeout_ms": REBALANCE_MS,
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": session_ms // HEARTBEATS,
    }
    return app


def run(app: BatchApp, *services: Service) -> None:
    """Be the process of `app` until SIGINT or SIGTERM; see `serve`.

    Raises what stopped the worker or a service, so that the process exits with 1.
    """
    for noisy in ("faust", "mode", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(app, stop, _collect_garbage, *services)

    gc.collect()
    gc.freeze()  # what lives from here on is never garbage
    gc.set_threshold(YOUNG_OBJECTS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def _collect_garbage() -> None:
    while True:
        await asyncio.sleep(GARBAGE_S)
        gc.collect()


async def serve(app: BatchApp, stop: asyncio.Event, *services: Service) -> None:
    """Run the worker, with `services` in the same loop, until `stop`; the batches in hand are then finished.

    A service may end by itself; the others are cancelled once the worker has stopped. Raises what stopped
    the worker or a service, and TimeoutError when the worker has not stopped after STOP_SECONDS.
    """
    starting = asyncio.ensure_future(app.start())
    ends = [asyncio.ensure_future(end) for end in (stop.wait(), app.wait_until_stopped())]
    tasks = [starting, *ends, *(asyncio.ensure_future(service()) for service in services)]
    pending = set(tasks)
    try:
        while not any(end.done() for end in ends):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    except Exception as error:
        await app.crash(error)
    finally:
        starting.cancel()
        try:
            await asyncio.wait_for(app.stop(), STOP_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if app.crash_reason is not None:
        raise app.crash_reason
