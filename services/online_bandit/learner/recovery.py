"""Bringing partitions back from policy-updates, whose transactions hold statistics and offsets together."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.online_bandit.learner.handlers import Reader
from services.online_bandit.learner.outlets import Outlet, PolicyState
from services.online_bandit.learner.partition_state import PartitionState
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.broker.settings import BrokerSettings
from shared.core.features.scaling import Scaling
from shared.core.policies.learner import Learner
from shared.telemetry.logging import logger
from shared.wire.codec import decode
from shared.wire.policy_replicas import Name, PartitionReplica, Replicas
from shared.wire.policy_updates import Source, read_scaling
from shared.wire.schemas import schema

TOPIC = "policy-updates"
POLL_MS = 100
"""How long one fetch waits; also how soon a reader that is told to stop does."""
MOST_RECORDS = 500
FETCH_BYTES = 8 << 20


class TopicLog:
    """A topic of one partition, read from its beginning; one reader for each assignment."""

    def __init__(self, broker: BrokerSettings, topic: str = TOPIC) -> None:
        self._where = TopicPartition(broker.topic(topic), 0)
        self._broker = broker
        self._consumer: Any = None

    async def open(self) -> None:
        """Connect."""
        self._consumer = self._new("read_committed")
        await self._consumer.start()
        self._consumer.assign([self._where])

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def present(self) -> AsyncIterator[list[tuple[bytes, bytes | None]]]:
        """Keys and values up to the log's end as it is now.

        The end is that of all records: what a transaction still holds back is waited for, since it may hold
        back committed records of others.
        """
        end = await self._end()
        while await self._consumer.position(self._where) < end:
            yield await self.more()

    async def newest(self) -> dict[bytes, bytes | None]:
        """The newest value of each key among those, in log order."""
        found: dict[bytes, bytes | None] = {}
        async for records in self.present():
            for key, value in records:
                found.pop(key, None)
                found[key] = value
        return found

    async def more(self) -> list[tuple[bytes, bytes | None]]:
        """The next records' keys and values; none if nothing comes for a while."""
        fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MOST_RECORDS)
        return [(record.key or b"", record.value) for records in fetched.values() for record in records]

    async def _end(self) -> int:
        consumer = self._new("read_uncommitted")
        await consumer.start()
        try:
            ends: dict[TopicPartition, int] = await consumer.end_offsets([self._where])
            return ends[self._where]
        finally:
            await consumer.stop()

    def _new(self, isolation: str) -> Any:
        return AIOKafkaConsumer(
            **self._broker.aiokafka(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
            max_partition_fetch_bytes=FETCH_BYTES,
        )


class Recovery:
    """Rebuilds partition states, and knows every policy's scaling that was read."""

    def __init__(self, applications: Mapping[str, Application], outlet: Outlet, reader: Reader) -> None:
        self.scalings: dict[Name, Scaling] = {}
        self._outlet, self._reader = outlet, reader
        self._names = {name: policy_name(application) for name, application in applications.items()}
        untrained = {name: new_learner(application) for name, application in applications.items()}
        self._large = {name for name, learner in untrained.items() if outlet.is_large(learner)}
        self._new = {
            name: partial(new_learner, application, track_deltas=name in self._large)
            for name, application in applications.items()
        }

    def large_states(self, partitions: int) -> int:
        """How many states of so many partitions are large."""
        return len(self._large) * partitions

    def rebuild(
        self, partitions: Iterable[int], updates: Mapping[bytes, bytes | None], earliest: Mapping[int, int]
    ) -> dict[int, PartitionState]:
        """The partitions' states as the updates (newest of each key, in log order) tell them.

        `earliest`: the first offset that each partition of the rewards still has. A policy that nothing is
        known of begins there.
        """
        wanted = set(partitions)
        replicas = [
            Replicas(
                {(name, self._names[name]): self._new[name] for name in names},
                partitions=wanted,
                track_deltas=track,
            )
            for names, track in ((self._large, True), (self._names.keys() - self._large, False))
        ]
        seen, broken = self._apply(updates, wanted, replicas)
        policies = {name: replica for part in replicas for name, replica in part.policies.items()}
        self.scalings = {name: r.scaling for name, r in policies.items() if r.scaling is not None}
        states = {}
        for number in sorted(wanted):
            found = {}
            for name, replica in sorted(policies.items()):
                source, known = Source(*name, number), replica.partition(number)
                if source in broken:
                    known = PartitionReplica(self._untrained(name), sequence=known.sequence)
                offset = max(known.next_offset, earliest[number])
                found[name[0]] = PolicyState(source, known.learner, offset, known.sequence)
            read = max(seen.get(number, 0), earliest[number])
            position = min((state.next_offset for state in found.values()), default=read)
            states[number] = PartitionState(number, self._reader, self._outlet, found, position, read)
        return states

    def _apply(
        self, updates: Mapping[bytes, bytes | None], partitions: set[int], replicas: Sequence[Replicas]
    ) -> tuple[dict[int, int], set[Source]]:
        """How far each partition was read, and whose statistics cannot be: they are learnt once more."""
        sources = [Source(name, policy, n) for name, policy in self._names.items() for n in partitions]
        owners = {source.key("snapshot", 0).rpartition(b"snapshot")[0]: source for source in sources}
        seen: dict[int, int] = {}
        broken: set[Source] = set()
        for key, value in updates.items():
            owner = owners.get(key[: key.rfind(b"/", 0, key.rfind(b"/")) + 1])
            if owner is None and not key.endswith(b"/scaling") and not key.startswith(b"progress/"):
                continue
            try:
                record = decode(schema(TOPIC), value)
                for part in replicas:
                    part.apply(record)
                if record["kind"] == "progress":
                    seen[record["partition"]] = record["next_offset"]
            except (ValueError, TypeError, KeyError) as error:
                logger(__name__).error("policy update cannot be used", key=key.decode(), why=str(error))
                if owner is not None:
                    broken.add(owner)
        return seen, broken

    def _untrained(self, name: Name) -> Learner:
        learner = self._new[name[0]]()
        if name in self.scalings:
            learner.set_scaling(self.scalings[name])
        return learner

    def follow(self, updates: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take the scalings among further updates."""
        names = {f"{name}/{policy}/scaling".encode(): (name, policy) for name, policy in self._names.items()}
        for key, value in updates:
            if key in names:
                self.scalings[names[key]] = read_scaling(decode(schema(TOPIC), value))


async def recover(
    log: TopicLog, recovery: Recovery, earliest: Mapping[int, int]
) -> dict[int, PartitionState]:
    """The states of the partitions in `earliest`, from the log's beginning to its end."""
    updates = await log.newest()
    return await asyncio.to_thread(recovery.rebuild, list(earliest), updates, earliest)
