"""Notifications against a real HTTP server: told, tried again, given up, and never in the way."""

import time
from collections.abc import Iterator

import pytest

from services.deployer.notifying import Notifier
from services.deployer.settings import DeployerSettings
from shared.notifying.outbox import WAITING
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import DeploymentEvent
from tests.notifying.hooks import Hooks

EVENT = DeploymentEvent(
    "shop-7", "shop", 7, "rolled-back", "p1", "main", 0.1, "10 %", "reward: worse", "guard", 5, {"high": -0.1}
)


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    found = Hooks()
    yield found
    found.close()


def notifier(hooks: Hooks, metrics: Metrics, **settings: str) -> Notifier:
    given = {"webhook": f"{hooks.url}/plain", "notify_backoff": "10ms", **settings}
    return Notifier(DeployerSettings(**given), metrics)  # type: ignore[arg-type]


def told(metrics: Metrics, outcome: str) -> float:
    return metrics.notifications.labels(outcome)._value.get()  # type: ignore[no-any-return]


def test_both_forms_are_posted_and_silent_events_are_not(hooks: Hooks) -> None:
    metrics = Metrics()
    made = notifier(hooks, metrics, slack_webhook=f"{hooks.url}/slack")
    made.start()
    for what in ("refused", "queued", "rolled-back"):
        made.tell(DeploymentEvent(**{**vars(EVENT), "what": what}))
    hooks.wait(2)
    made.stop()
    assert [path for path, _ in hooks.posted] == ["/plain", "/slack"]
    assert hooks.posted[0][1]["event_id"] == "shop-7"
    assert hooks.posted[0][1]["numbers"] == {"high": -0.1}
    text = "*shop*: `p1` rolled-back (10 %, 10% of subjects)\nreward: worse — guard"
    assert hooks.posted[1][1] == {"text": text}
    assert told(metrics, "sent") == 2


def test_failures_are_tried_again_a_few_times(hooks: Hooks) -> None:
    metrics = Metrics()
    made = notifier(hooks, metrics, notify_attempts="3")
    hooks.statuses = [500, 503, 200, 500, 500, 500]
    made.start()
    made.tell(EVENT)
    hooks.wait(3)
    made.tell(EVENT)
    hooks.wait(6)
    made.stop()
    assert len(hooks.posted) == 6
    assert (told(metrics, "sent"), told(metrics, "failed")) == (1, 1)


def test_nobody_waits_for_it(hooks: Hooks) -> None:
    metrics = Metrics()
    made = notifier(hooks, metrics)  # never started: nothing leaves the queue
    began = time.monotonic()
    for _ in range(WAITING + 5):
        made.tell(EVENT)
    assert time.monotonic() - began < 1.0
    assert told(metrics, "dropped") == 5
    assert hooks.posted == []


def test_an_address_that_is_none_does_not_end_it(hooks: Hooks) -> None:
    metrics = Metrics()
    made = notifier(
        hooks, metrics, webhook="nonsense", slack_webhook=f"{hooks.url}/slack", notify_attempts="1"
    )
    made.start()
    made.tell(EVENT)
    hooks.wait(1)
    made.stop()
    assert told(metrics, "failed") == 1
