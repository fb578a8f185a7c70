"""Records on disk that wait for Kafka: appended in groups, published in order, kept over restarts."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from services.online_bandit.api import segments
from services.online_bandit.api.segments import Record
from shared.telemetry.logging import logger

SEGMENT_BYTES = 8 << 20
"""A file is deleted once all of it is published; a crash before that publishes its records again."""
GROUP = 500
"""Records handed to Kafka at once while the spool empties."""


class SpoolFull(RuntimeError):
    """The spool has reached its limit: what it would have taken is refused."""


class Spool:
    """Files `<number>.spool` in `folder`, of at most `limit` bytes together.

    All methods belong to one event loop; the disk is used from worker threads.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit = folder, limit
        self.records, self.bytes = 0, 0
        self._closed: deque[Path] = deque()
        self._current: Path | None = None
        self._current_bytes = 0
        self._number = 0
        self._waiting: list[tuple[list[bytes], asyncio.Future[None]]] = []
        self._disk = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self._reopen()

    async def append(self, records: Sequence[Record]) -> None:
        """Return once the records are on disk. Raises SpoolFull, and OSError where the disk refuses."""
        frames = [segments.framed(record) for record in records]
        size = sum(map(len, frames))
        if self.bytes + size > self._limit:
            raise SpoolFull(f"the spool holds {self.bytes:,} of {self._limit:,} bytes")
        self.records += len(frames)
        self.bytes += size
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((frames, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="spool")
        try:
            await asyncio.shield(future)
        except OSError:
            self.records -= len(frames)
            self.bytes -= size
            raise

    async def drain(self, publish: Callable[[Sequence[Record]], Awaitable[None]], leave: int = 0) -> None:
        """Publish in order until at most `leave` records are left.

        What `publish` raises ends it; the file it stopped in is published again from its start.
        """
        while self.records > leave:
            if not self._closed:
                async with self._disk:
                    self._rotate()
            if not self._closed:  # everything that there is still waits for the disk
                await asyncio.sleep(0)
                continue
            path = self._closed[0]
            size = path.stat().st_size
            records, _ = await asyncio.to_thread(segments.read, path)
            for start in range(0, len(records), GROUP):
                await publish(records[start : start + GROUP])
            await asyncio.to_thread(segments.remove, path)
            self._closed.popleft()
            self.records -= len(records)
            self.bytes -= size

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            frames = [frame for each, _ in group for frame in each]
            async with self._disk:
                problem = await self._write(frames)
            for _, future in group:
                if problem is None:
                    future.set_result(None)
                else:
                    future.set_exception(problem)

    async def _write(self, frames: list[bytes]) -> OSError | None:
        if self._current is None:
            self._number += 1
            self._current, self._current_bytes = self._path(self._number), 0
        try:
            await asyncio.to_thread(segments.append, self._current, frames)
        except OSError as error:
            logger(__name__).error("spool cannot be written", folder=str(self._folder), error=str(error))
            return error
        self._current_bytes += sum(map(len, frames))
        if self._current_bytes >= SEGMENT_BYTES:
            self._rotate()
        return None

    def _rotate(self) -> None:
        if self._current is not None and self._current_bytes:
            self._closed.append(self._current)
            self._current = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}.spool"

    def _reopen(self) -> None:
        for path in sorted(self._folder.glob("*.spool")):
            records, rest = segments.read(path)
            if rest:
                self._set_apart(path, records, rest)
            if records:
                self._closed.append(path)
                self.records += len(records)
                self.bytes += path.stat().st_size
            else:
                segments.remove(path)
            self._number = int(path.stem)

    @staticmethod
    def _set_apart(path: Path, records: Sequence[Record], rest: bytes) -> None:
        """A crash while writing leaves half a record that was never answered; its bytes are kept aside."""
        segments.append(path.with_suffix(".rest"), [rest])
        segments.replace(path, records)
        logger(__name__).warning("spool ended in half a record", file=str(path), bytes=len(rest))
