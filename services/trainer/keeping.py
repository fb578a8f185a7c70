"""What the trainer that has the requests does beside: watch for reasons to train, remove what is too old."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from services.trainer.planning import Refused
from services.trainer.settings import TrainerSettings
from services.trainer.watching import Watcher
from shared.applications.contract import Application
from shared.archive.archive import Archive
from shared.broker.producers import BufferFull, Unavailable
from shared.telemetry.health import Health
from shared.wire.training import Trigger

TIDY_MS = 3_600_000
log = logging.getLogger(__name__)


class Keeper:
    """Looks every `watch_every`, while `leads` says that this trainer has the requests."""

    def __init__(
        self,
        settings: TrainerSettings,
        applications: Mapping[str, Application],
        archive: Archive,
        leads: Callable[[], bool],
        publish: Callable[[Trigger], Awaitable[None]],
        clock: Callable[[], int],
        health: Health,
    ) -> None:
        mine = [each for name, each in applications.items() if not settings.trains or name in settings.trains]
        self._watchers = [watcher for each in mine if not (watcher := Watcher(each, archive)).idle]
        self._settings, self._archive = settings, archive
        self._leads, self._publish, self._clock = leads, publish, clock
        self._tidied = 0
        self._every = settings.watch_every.total_seconds()
        self._loop = health.loop("watch", limit=10 * self._every + 60)

    async def run(self) -> None:
        """Until cancelled. Raises OSError."""
        while True:
            if self._leads():
                await self.look()
            self._loop.beat()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Once; a request that Kafka does not take now is asked for at the next look."""
        now = self._clock()
        for watcher in self._watchers:
            for cause in await asyncio.to_thread(watcher.look, now):
                try:
                    await self._publish(cause.trigger)
                except (BufferFull, Unavailable) as error:
                    log.warning("%s: %s", cause.trigger.request_id, error)
                except Refused as error:  # by the application's own settings: nobody else is there to be told
                    log.error(
                        "%s cannot be trained as its settings say: %s", cause.trigger.application, error
                    )
                else:
                    await asyncio.to_thread(watcher.keep, cause)
        if now - self._tidied >= TIDY_MS:
            self._tidied = now
            await self._tidy(now)

    async def _tidy(self, now: int) -> None:
        oldest = (datetime.fromtimestamp(now / 1000, UTC) - self._settings.retention).date()
        for part in await asyncio.to_thread(self._archive.expire, oldest):
            log.info("%s is older than %s and was removed", part.name, self._settings.retention)
