"""One set of environment variables configures every client library."""

from __future__ import annotations

import ssl

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from faust.auth import SASLCredentials
from kafka import KafkaConsumer
from pydantic import ValidationError

from shared.broker.settings import BrokerSettings

SCRAM = {
    "STREAMWHEEL_BROKER": "one:9093, two:9093",
    "STREAMWHEEL_BROKER_SECURITY": "SASL_SSL",
    "STREAMWHEEL_BROKER_SASL_MECHANISM": "SCRAM-SHA-256",
    "STREAMWHEEL_BROKER_SASL_USERNAME": "user",
    "STREAMWHEEL_BROKER_SASL_PASSWORD": "a secret",
    "STREAMWHEEL_TOPIC_PREFIX": "blue-",
}


@pytest.fixture
def scram(monkeypatch: pytest.MonkeyPatch) -> BrokerSettings:
    for name, value in SCRAM.items():
        monkeypatch.setenv(name, value)
    return BrokerSettings()


def test_credentials_reach_aiokafka_and_kafka_python(scram: BrokerSettings) -> None:
    for arguments in (scram.aiokafka(), scram.kafka_python()):
        assert arguments["bootstrap_servers"] == ["one:9093", "two:9093"]
        assert arguments["security_protocol"] == "SASL_SSL"
        assert arguments["sasl_mechanism"] == "SCRAM-SHA-256"
        assert arguments["sasl_plain_username"] == "user"
        assert arguments["sasl_plain_password"] == "a secret"
        assert arguments["ssl_context"].verify_mode == ssl.CERT_REQUIRED


async def test_every_client_takes_its_arguments(scram: BrokerSettings) -> None:
    consumer = AIOKafkaConsumer(**scram.aiokafka())
    await consumer.stop()
    assert set(scram.kafka_python()) <= set(KafkaConsumer.DEFAULT_CONFIG)


def test_credentials_reach_faust(scram: BrokerSettings) -> None:
    app = faust.App("settings-test", **scram.faust())
    credentials = app.conf.broker_credentials
    assert isinstance(credentials, SASLCredentials)
    assert (credentials.username, credentials.password) == ("user", "a secret")
    assert credentials.mechanism.value == "SCRAM-SHA-256"
    assert credentials.protocol.value == "SASL_SSL"
    assert [f"{url.host}:{url.port}" for url in app.conf.broker] == ["one:9093", "two:9093"]


def test_the_password_is_not_printed(scram: BrokerSettings) -> None:
    assert "a secret" not in f"{scram!r} {scram} {scram.model_dump_json()}"


def test_names_carry_the_prefix(scram: BrokerSettings) -> None:
    assert scram.topic("decisions") == "blue-decisions"
    assert scram.group("learner") == "blue-learner"
    assert scram.transactional_id("learner-0") == "blue-learner-0"
    assert BrokerSettings(topic_prefix="").topic("decisions") == "decisions"


def test_a_missing_password_is_named(monkeypatch: pytest.MonkeyPatch, scram: BrokerSettings) -> None:
    monkeypatch.delenv("STREAMWHEEL_BROKER_SASL_PASSWORD")
    with pytest.raises(ValidationError, match="STREAMWHEEL_BROKER_SASL_PASSWORD"):
        BrokerSettings()


def test_a_missing_certificate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMWHEEL_BROKER_CA_FILE", "/nowhere/ca.pem")
    with pytest.raises(ValidationError, match=r"no file /nowhere/ca\.pem"):
        BrokerSettings()
