"""Bringing a partition's state back from its inputs and its own output."""

from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.reward_calculator.handlers import Handlers, Records
from services.reward_calculator.progress import Progress
from shared.broker.settings import BrokerSettings
from shared.core.join import Emitted, Join
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema

SLACK_MS = 60_000
"""How far the clocks of two brokers may be apart when rewards are looked up by time."""
POLL_MS = 200
"""How long to wait for the next records of the rewards topic while it is read to its end."""

ReadEmitted = Callable[[int, int], Awaitable[Mapping[str, Emitted]]]
"""(partition, append time in ms) to the newest reward of each decision since that time."""


class Recovery:
    """Takes in what was processed before a restart, and keeps what lies behind it for later."""

    def __init__(
        self, number: int, target: Progress, positions: dict[str, int], handlers: Handlers, join: Join
    ) -> None:
        self._number, self._target, self._handlers, self._join = number, target, handlers, join
        self._ends = {"decisions": target.decisions, "interactions": target.interactions}
        self.positions = positions
        self._oldest: int | None = None
        self._beyond: list[Records] = []

    @property
    def complete(self) -> bool:
        """Whether both inputs are read up to where the last transaction got."""
        return all(self.positions[topic] >= end for topic, end in self._ends.items())

    def take(self, batch: Records) -> None:
        """Take in the part of a batch that was processed before."""
        before, beyond = batch.split(self._ends[batch.topic])
        if len(before):
            self._replay(before)
        if len(beyond):
            self._beyond.append(beyond)
        self.positions[batch.topic] = batch.next_offset

    async def finish(self, read_emitted: ReadEmitted) -> list[Records]:
        """Bring emissions and clocks back; returns the batches that were read beyond the target."""
        emitted: Mapping[str, Emitted] = {}
        if self._oldest is not None:
            slack = SLACK_MS + max(window.span for window in self._handlers.windows)
            emitted = await read_emitted(self._number, self._oldest - slack)
        self._join.settle(emitted, self._target.decisions_clock, self._target.interactions_clock)
        return self._beyond

    def _replay(self, batch: Records) -> None:
        first = int(batch.timestamps[0])
        self._oldest = first if self._oldest is None else min(self._oldest, first)
        if batch.topic == "decisions":
            self._join.recover(decisions=self._handlers.decisions([batch])[0].get(self._number))
        else:
            self._join.recover(interactions=self._handlers.interactions([batch])[0].get(self._number))


async def read_emitted(broker: BrokerSettings, partition: int, since: int) -> Mapping[str, Emitted]:
    """The newest reward of each decision appended since `since` (ms) to one partition of rewards.

    Only committed records: the caller's transactional id has been taken over before.
    """
    where = TopicPartition(broker.topic("rewards"), partition)
    consumer = AIOKafkaConsumer(
        **broker.aiokafka(), isolation_level="read_committed", enable_auto_commit=False, group_id=None
    )
    await consumer.start()
    try:
        consumer.assign([where])
        found = (await consumer.offsets_for_times({where: since}))[where]
        end = (await consumer.end_offsets([where]))[where]
        if found is None or found.offset >= end:
            return {}
        consumer.seek(where, found.offset)
        emitted: dict[str, Emitted] = {}
        while await consumer.position(where) < end:
            batches = await consumer.getmany(where, timeout_ms=POLL_MS)
            emitted |= _emitted([record.value for records in batches.values() for record in records])
        return emitted
    finally:
        await consumer.stop()


def _emitted(values: list[bytes]) -> dict[str, Emitted]:
    frame = decode_columns(schema("rewards"), values).frame
    columns = (
        frame["decision"].struct.field("decision_id").to_list(),
        frame["reward"].to_list(),
        frame["revision"].to_list(),
        frame["is_default"].to_list(),
        frame["decision_offset"].to_list(),
    )
    return {i: Emitted(*rest) for i, *rest in zip(*columns, strict=True)}
