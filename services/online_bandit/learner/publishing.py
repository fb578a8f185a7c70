"""What all partitions have learnt goes out together: one transaction every so often, while there is news."""

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress

from services.online_bandit.learner.partition import Partition
from services.online_bandit.learner.telemetry import Telemetry
from shared.broker.group_writer import GroupWriter
from shared.broker.transactions import Fenced


class Publisher:
    """Asks every partition what it has to tell, and writes it."""

    def __init__(
        self, partitions: Collection[Partition], writer: GroupWriter, telemetry: Telemetry, pause_s: float
    ) -> None:
        self._partitions, self._writer, self._telemetry = partitions, writer, telemetry
        self._pause_s = pause_s
        self._news, self._stopping = asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """There is something to publish."""
        self._news.set()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()
        self.wake()

    async def run(self) -> None:
        """Publish until `stop`, then what is left. What it raises must end the process: memory is a copy of
        the log, and after a transaction that failed only the log knows what is so."""
        while not self._stopping.is_set():
            await self._news.wait()
            self._news.clear()
            due = time.monotonic() + self._pause_s
            await self._publish()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._stopping.wait()
        await self._publish()

    async def _publish(self) -> None:
        now, metrics = time.monotonic(), self._telemetry.metrics
        asked = [(each, await each.publication(now)) for each in self._partitions if each.state.dirty]
        told = [(each, publication) for each, publication in asked if publication is not None]
        if any(each.state.dirty for each in self._partitions):
            self.wake()  # something has to wait
        if not told:
            return
        try:
            with metrics.transaction_seconds.time():
                await self._writer.write([each.writes(publication) for each, publication in told])
        except Fenced:
            metrics.fenced.inc()
            raise
        for _, publication in told:
            self._telemetry.published(publication)
