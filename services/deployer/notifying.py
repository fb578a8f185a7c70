"""Tells webhooks what happened: best effort, with few retries, in a thread of its own."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from queue import Empty, Full, Queue
from typing import Any

import httpx

from services.deployer.settings import DeployerSettings
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import DeploymentEvent

WAITING = 1_000
"""Notifications that wait; more are dropped, and counted."""
TIMEOUT_S = 5.0
LOOK_S = 0.2
SILENT = frozenset({"queued", "refused"})
"""What nobody is told: it changes nothing that users see."""
log = logging.getLogger(__name__)


def slack(event: DeploymentEvent) -> dict[str, Any]:
    """An event as Slack's incoming webhooks take it."""
    share = f", {event.share:.0%} of subjects" if event.stage else ""
    stage = f" ({event.stage}{share})" if event.stage else ""
    told = f"*{event.application}*: `{event.policy}` {event.what}{stage}"
    return {"text": f"{told}\n{event.cause} — {event.by}"}


class Notifier:
    """Posts each event as JSON to the webhook, and in Slack's form to Slack's. Never blocks, never raises."""

    def __init__(self, settings: DeployerSettings, metrics: Metrics) -> None:
        targets: list[tuple[str, Callable[[DeploymentEvent], Mapping[str, Any]]]] = []
        if settings.webhook:
            targets.append((settings.webhook.get_secret_value(), asdict))
        if settings.slack_webhook:
            targets.append((settings.slack_webhook.get_secret_value(), slack))
        self._targets, self._metrics = targets, metrics
        self._attempts = settings.notify_attempts
        self._backoff = settings.notify_backoff.total_seconds()
        self._queue: Queue[tuple[str, Mapping[str, Any]]] = Queue(WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def stop(self) -> None:
        """End after the post under way; what waits is dropped."""
        self._stopping.set()
        self._thread.join()

    def tell(self, event: DeploymentEvent) -> None:
        """Have an event posted some time."""
        if event.what in SILENT:
            return
        for url, form in self._targets:
            try:
                self._queue.put_nowait((url, form(event)))
            except Full:
                self._metrics.notifications.labels("dropped").inc()

    def _run(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S) as http:
            while not self._stopping.is_set():
                try:
                    url, body = self._queue.get(timeout=LOOK_S)
                except Empty:
                    continue
                told = self._post(http, url, body)
                self._metrics.notifications.labels("sent" if told else "failed").inc()

    def _post(self, http: httpx.Client, url: str, body: Mapping[str, Any]) -> bool:
        wait = self._backoff
        for attempt in range(1, self._attempts + 1):
            try:
                http.post(url, json=body).raise_for_status()
                return True
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                # The address may hold a secret: it is not logged.
                log.warning("notification, attempt %d: %s", attempt, type(error).__name__)
            if attempt < self._attempts and self._stopping.wait(wait):
                break
            wait *= 2
        return False
