"""What waits for a partition, bounded by its size."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue of one taker, who takes all that is there. Many small items may wait, few large ones."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._items: deque[tuple[T, int]] = deque()
        self.bytes = 0
        """Size of all that is there."""
        self._filled, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether `put` would wait."""
        return self.bytes > self._most

    async def put(self, item: T, size: int) -> None:
        """Wait until there is room, then add an item of so many bytes, however large."""
        while self.full:
            self._room.clear()
            await self._room.wait()
        self.add(item, size)

    def add(self, item: T, size: int = 0) -> None:
        """Add at once."""
        self._items.append((item, size))
        self.bytes += size
        self._filled.set()

    async def wait(self) -> None:
        """Until something is there."""
        await self._filled.wait()

    def take(self, most_bytes: int | None = None) -> list[T]:
        """All that is there, or the first of it: as much as fits, at least one item."""
        taken: list[T] = []
        size = 0
        while self._items and (not taken or most_bytes is None or size + self._items[0][1] <= most_bytes):
            item, bytes_ = self._items.popleft()
            taken.append(item)
            size += bytes_
        self.bytes -= size
        self._room.set()
        if not self._items:
            self._filled.clear()
        return taken
