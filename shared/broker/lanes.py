"""The records of one partition on their way to Kafka: some waiting, at most one batch under way."""

from __future__ import annotations

import asyncio
from typing import Any

from shared.broker.limits import Headers, record_size


class Entry:
    """A record and the future that its acknowledgement resolves; `deadline` in the loop's time."""

    __slots__ = ("deadline", "future", "headers", "key", "value")

    def __init__(
        self, key: bytes, value: bytes, headers: Headers, future: asyncio.Future[Any], deadline: float
    ) -> None:
        self.key = key
        self.value = value
        self.headers = headers
        self.future = future
        self.deadline = deadline

    @property
    def size(self) -> int:
        """Bytes that this record takes in the producer's buffer."""
        return record_size(self.key, self.value, self.headers)


class Lane:
    """One partition's queue. `flying` is the batch under way, `overdue` that its time is up."""

    __slots__ = ("flying", "overdue", "partition", "timer", "topic", "waiting")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.waiting: list[Entry] = []
        self.flying: list[Entry] = []
        self.overdue = False
        self.timer: asyncio.TimerHandle | None = None

    def fill(self, batch: Any) -> None:
        """Move as many waiting records into `batch` as it takes; they are `flying` from then on."""
        taken = 0
        for entry in self.waiting:
            headers = list(entry.headers)
            if batch.append(key=entry.key, value=entry.value, timestamp=None, headers=headers) is None:
                break
            taken += 1
        batch.close()
        self.flying, self.waiting = self.waiting[:taken], self.waiting[taken:]

    def landed(self) -> None:
        """The batch under way has ended, one way or the other."""
        self.flying = []
        self.overdue = False

    def take_all(self) -> list[Entry]:
        """Remove and return what waits."""
        taken, self.waiting = self.waiting, []
        return taken

    def take_expired(self, now: float) -> list[Entry]:
        """Remove and return what has waited beyond its deadline."""
        fresh = next((i for i, entry in enumerate(self.waiting) if entry.deadline > now), len(self.waiting))
        taken, self.waiting = self.waiting[:fresh], self.waiting[fresh:]
        return taken
