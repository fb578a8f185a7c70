"""Messages that wait for their channels: in a thread of their own, with few retries."""

import logging
import threading
from collections.abc import Sequence
from queue import Empty, Full, Queue

from shared.notifying.messages import Channel, Message, Undelivered
from shared.telemetry.metrics import Metrics

WAITING = 1_000
"""Messages that wait; more are dropped, and counted."""
LOOK_S = 0.2
log = logging.getLogger(__name__)


class Outbox:
    """Never blocks whoever has news, and raises nothing. `backoff_s` doubles after each failure."""

    def __init__(
        self, channels: Sequence[Channel], metrics: Metrics, attempts: int, backoff_s: float
    ) -> None:
        self._channels, self._metrics = tuple(channels), metrics
        self._attempts, self._backoff_s = attempts, backoff_s
        self._queue: Queue[tuple[Channel, Message]] = Queue(WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End after the message under way; what waits is dropped."""
        self._stopping.set()
        self._thread.join()

    def put(self, message: Message) -> None:
        """Have a message sent some time, once on every channel."""
        for channel in self._channels:
            try:
                self._queue.put_nowait((channel, message))
            except Full:
                self._metrics.notifications.labels("dropped").inc()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                channel, message = self._queue.get(timeout=LOOK_S)
            except Empty:
                continue
            outcome = "sent" if self._sent(channel, message) else "failed"
            self._metrics.notifications.labels(outcome).inc()
        for channel in self._channels:
            channel.close()

    def _sent(self, channel: Channel, message: Message) -> bool:
        wait = self._backoff_s
        for attempt in range(1, self._attempts + 1):
            try:
                channel.send(message)
                return True
            except Undelivered as error:
                log.warning("notification, attempt %d: %s", attempt, error)
            if attempt < self._attempts and self._stopping.wait(wait):
                break
            wait *= 2
        return False
