"""What happens behind the HTTP interfaces: rewards as they appear, and the policy that has learnt them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
from aiokafka import AIOKafkaConsumer

from shared.broker.settings import BrokerSettings
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema

POLL_S = 0.03
"""How often to ask which policy is served: the resolution of freshness."""
FETCH_MS = 50


class Rewarded(NamedTuple):
    """The newest revision of a decision's reward, and where it stands in the rewards."""

    reward: float
    is_default: bool
    partition: int
    offset: int
    interactions: int = 0
    """How many counted."""


class Rewards:
    """The reward table as it grows."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.table: dict[str, Rewarded] = {}
        self.records = 0
        self.next_offsets: dict[int, int] = {}
        self.arrived: deque[tuple[str, Rewarded]] = deque()
        """Those that nobody has looked at yet, in the order in which they were read."""
        self._settings = settings

    async def follow(self) -> None:
        """Read until cancelled. Raises KafkaError."""
        consumer = AIOKafkaConsumer(
            self._settings.topic("rewards"),
            **self._settings.aiokafka(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            while True:
                for where, records in (await consumer.getmany(timeout_ms=FETCH_MS)).items():
                    self._take(where.partition, records)
        finally:
            await consumer.stop()

    def _take(self, partition: int, records: list[Any]) -> None:
        frame = decode_columns(schema("rewards"), [record.value for record in records]).frame
        ids = frame["decision"].struct.field("decision_id").to_list()
        told = (frame[name].to_list() for name in ("reward", "is_default", "interactions"))
        for decision_id, reward, is_default, interactions, record in zip(ids, *told, records, strict=True):
            rewarded = Rewarded(reward, is_default, partition, record.offset, interactions)
            self.table[decision_id] = rewarded
            self.arrived.append((decision_id, rewarded))
        self.records += len(records)
        self.next_offsets[partition] = records[-1].offset + 1


class Freshness:
    """How long it takes from an acknowledged interaction to a served policy that has learnt it."""

    def __init__(self, rewards: Rewards, clock: Callable[[], float]) -> None:
        self.seconds: list[float] = []
        self.acknowledged: dict[str, float] = {}
        """decision_id → when its interaction was acknowledged; taken out once it is learnt."""
        self.offsets: list[int] = []
        """Of the served policy, per partition."""
        self._rewards, self._clock = rewards, clock
        self._waiting: list[tuple[str, Rewarded]] = []

    async def follow(self, client: httpx.AsyncClient, url: str) -> None:
        """Ask again and again until cancelled; a service that is away is asked again as well."""
        while True:
            with suppress(httpx.HTTPError):
                reply = await client.get(url)
                self.offsets = reply.raise_for_status().json()["offsets"]
                self._settle(self._clock())
            await asyncio.sleep(POLL_S)

    def caught_up(self) -> bool:
        """Whether all rewards that were read are learnt and served."""
        return all(self._has(partition, end - 1) for partition, end in self._rewards.next_offsets.items())

    def _settle(self, now: float) -> None:
        self._waiting += self._rewards.arrived
        self._rewards.arrived.clear()
        waiting = []
        for decision_id, rewarded in self._waiting:
            if rewarded.is_default:
                continue
            if not self._has(rewarded.partition, rewarded.offset) or decision_id not in self.acknowledged:
                waiting.append((decision_id, rewarded))
            else:
                self.seconds.append(now - self.acknowledged.pop(decision_id))
        self._waiting = waiting

    def _has(self, partition: int, offset: int) -> bool:
        return partition < len(self.offsets) and self.offsets[partition] > offset
