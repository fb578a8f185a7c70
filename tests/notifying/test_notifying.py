"""News against a real HTTP server and a real mail server: told, tried again, given up, never in the way."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import ValidationError

from services.trainer.notifying import message
from services.trainer.settings import TrainerSettings
from shared.notifying.outbox import Outbox
from shared.notifying.settings import NotifyingSettings
from shared.telemetry.metrics import Metrics
from shared.wire.training import Candidate, Span
from tests.notifying.hooks import Hooks
from tests.notifying.mail_server import CERTIFICATE, mail_server
from tests.waiting import wait_for

ENDED = Candidate(
    request_id="r-1",
    application="voice_assistant",
    status="trained",
    requested_at=1,
    at=2,
    algorithm="prompt_search",
    candidate_id="c" * 64,
    artefact="/artefacts/ccc",
    lineage=(Span(0, 0, 10),),
    rows=480,
    metrics={"best_predicted_reward": 0.71234, "r2": 0.4},
)
TEXT = (
    "*voice_assistant*: `prompt_search` trained\n"
    "candidate `cccccccccccc` of 480 rewards, /artefacts/ccc\n"
    "best_predicted_reward: 0.7123\n"
    "r2: 0.4"
)


def mail(port: int, **changes: Any) -> dict[str, Any]:
    given = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_ca_file": CERTIFICATE,
        "smtp_username": "streamwheel",
        "smtp_password": "right",
        "mail_from": "trainer@example.org",
        "mail_to": "ann@example.org, bob@example.org",
        "notify_backoff": "10ms",
    }
    return given | changes


@contextmanager
def telling(**settings: Any) -> Iterator[tuple[Outbox, Metrics]]:
    """An outbox with the channels of these settings, while the context is open."""
    metrics, read = Metrics(), TrainerSettings(**settings)
    outbox = Outbox(read.channels(), metrics, read.notify_attempts, read.notify_backoff.total_seconds())
    outbox.start()
    try:
        yield outbox, metrics
    finally:
        outbox.stop()


def count(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("streamwheel_notifications_total", {"outcome": outcome}) or 0.0


def test_a_training_is_told_to_webhook_slack_and_mail() -> None:
    hooks = Hooks()
    try:
        with (
            mail_server() as server,
            telling(
                webhook=f"{hooks.url}/plain", slack_webhook=f"{hooks.url}/slack", **mail(server.port)
            ) as (
                outbox,
                _,
            ),
        ):
            outbox.put(message(ENDED))
            hooks.wait(2)
            server.wait(mails=1)
    finally:
        hooks.close()
    [(_, document), (_, slack)] = hooks.posted
    assert document["candidate_id"] == ENDED.candidate_id
    assert document["metrics"] == ENDED.metrics
    assert "lineage" not in document
    assert slack == {"text": TEXT}
    [sent] = server.mails
    assert sent["Subject"] == "voice_assistant: prompt_search trained"
    assert (sent["From"], sent["To"]) == ("trainer@example.org", "ann@example.org, bob@example.org")
    assert server.recipients == ["ann@example.org", "bob@example.org"]
    content = sent.get_content().replace("\r\n", "\n")
    assert content.startswith(TEXT)
    assert '"request_id": "r-1"' in content
    # The password went over an encrypted connection only.
    assert server.credentials == [("streamwheel", "right", True)]


def test_a_server_that_is_encrypted_from_the_start() -> None:
    with mail_server(tls=True) as server, telling(**mail(server.port, smtp_encryption="tls")) as (outbox, _):
        outbox.put(message(ENDED))
        server.wait(mails=1)
    assert server.credentials == [("streamwheel", "right", True)]


def test_a_refused_training_says_why() -> None:
    told = message(
        Candidate("r", "voice_assistant", "refused", 1, 2, reason="calls: 40, at least 100 are needed")
    )
    assert told.subject == "voice_assistant: training refused"
    assert "at least 100 are needed" in told.text


def test_what_fails_is_tried_again_a_few_times_and_then_given_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with mail_server() as server:
        server.answers = [b"451 later", b"250 OK", b"451 no", b"451 no", b"451 no"]
        with telling(**mail(server.port, notify_attempts=3)) as (outbox, metrics):
            outbox.put(message(ENDED))
            server.wait(mails=1, tries=2)
            outbox.put(message(ENDED))
            wait_for(lambda: count(metrics, "failed") == 1)
        assert count(metrics, "sent") == 1
    assert server.tries == 5
    assert len(server.mails) == 1
    assert [each.getMessage() for each in caplog.records if each.name == "shared.notifying.outbox"] == [
        f"notification, attempt {attempt}: the mail server answered 451" for attempt in (1, 1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"smtp_password": "wrong"}, "answered 535"),
        ({"smtp_ca_file": None}, "SSLCertVerificationError"),
        ({"mail_to": "ann@example.org\r\nX-Evil: yes"}, "ValueError"),
    ],
)
def test_what_cannot_be_sent_is_logged_without_secrets(
    changes: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with mail_server() as server:
        settings = NotifyingSettings(**mail(server.port, **changes))
        outbox = Outbox(settings.channels(), metrics := Metrics(), 1, 0.0)
        outbox.put(message(ENDED))
        outbox.start()
        wait_for(lambda: count(metrics, "failed") == 1)
        outbox.stop()
    assert not server.mails
    assert words in caplog.text
    assert "wrong" not in caplog.text
    assert "right" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mail_to": ""}, "mail_from and mail_to"),
        ({"smtp_encryption": "none"}, "not sent in the clear"),
        ({"smtp_encryption": "maybe"}, "smtp_encryption"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        NotifyingSettings(**mail(25, **changes))
    assert "right" not in repr(NotifyingSettings(**mail(25)))
