"""Tells webhooks, Slack and people by mail what happened to rollouts."""

from dataclasses import asdict

from services.deployer.settings import DeployerSettings
from shared.notifying.messages import Message
from shared.notifying.outbox import Outbox
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import DeploymentEvent

SILENT = frozenset({"queued", "refused"})
"""What nobody is told: it changes nothing that users see."""


def message(event: DeploymentEvent) -> Message:
    """An event as it is told."""
    share = f", {event.share:.0%} of subjects" if event.stage else ""
    stage = f" ({event.stage}{share})" if event.stage else ""
    what = f"{event.what} of {event.action}" if event.action else event.what
    told = f"*{event.application}*: `{event.policy}` {what}{stage}\n{event.cause} — {event.by}"
    return Message(f"{event.application}: {event.policy} {what}", told, asdict(event))


class Notifier:
    """Never blocks, never raises."""

    def __init__(self, settings: DeployerSettings, metrics: Metrics) -> None:
        backoff_s = settings.notify_backoff.total_seconds()
        self._outbox = Outbox(settings.channels(), metrics, settings.notify_attempts, backoff_s)
        self.start, self.stop = self._outbox.start, self._outbox.stop

    def tell(self, event: DeploymentEvent) -> None:
        """Have an event told some time."""
        if event.what not in SILENT:
            self._outbox.put(message(event))
