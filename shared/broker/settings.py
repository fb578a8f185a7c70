"""Where Kafka is and how to talk to it: one object that configures every client library."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class BrokerSettings(BaseSettings):
    """Connection to Kafka and the names used on it, from `STREAMWHEEL_…` environment variables.

    `broker` is the bootstrap list (`host:port,host:port`). `topic_prefix` goes in front of every topic,
    consumer group and transactional id, so that several loops can share one cluster.
    """

    model_config = SettingsConfigDict(env_prefix="STREAMWHEEL_", frozen=True, extra="ignore")

    broker: str = "127.0.0.1:8009"
    broker_security: Security = "PLAINTEXT"
    broker_sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    broker_sasl_username: str | None = None
    broker_sasl_password: SecretStr | None = None
    broker_ca_file: Path | None = None
    topic_prefix: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.sasl and (self.broker_sasl_username is None or self.broker_sasl_password is None):
            raise ValueError(
                f"STREAMWHEEL_BROKER_SECURITY={self.broker_security} needs "
                "STREAMWHEEL_BROKER_SASL_USERNAME and STREAMWHEEL_BROKER_SASL_PASSWORD"
            )
        if self.broker_ca_file is not None and not self.broker_ca_file.is_file():
            raise ValueError(f"STREAMWHEEL_BROKER_CA_FILE: there is no file {self.broker_ca_file}")
        return self

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, each as `host:port`."""
        return [server.strip() for server in self.broker.split(",") if server.strip()]

    @property
    def sasl(self) -> bool:
        """Whether clients authenticate by name and password."""
        return self.broker_security.startswith("SASL_")

    @property
    def encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.broker_security.endswith("SSL")

    def topic(self, name: str) -> str:
        """The topic's full name on this cluster."""
        return self.topic_prefix + name

    def topics(self, names: Iterable[str]) -> list[str]:
        """The full names of several topics."""
        return [self.topic(name) for name in names]

    def group(self, name: str) -> str:
        """The consumer group's full name on this cluster."""
        return self.topic_prefix + name

    def transactional_id(self, name: str) -> str:
        """The transactional id's full name on this cluster."""
        return self.topic_prefix + name

    def ssl_context(self) -> ssl.SSLContext | None:
        """A verifying TLS context trusting `broker_ca_file` (or the system), None without TLS."""
        return ssl.create_default_context(cafile=self.broker_ca_file) if self.encrypted else None

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments for every aiokafka client."""
        return {
            "bootstrap_servers": self.servers,
            "security_protocol": self.broker_security,
            "ssl_context": self.ssl_context(),
            **self._sasl(),
        }

    def kafka_python(self) -> dict[str, Any]:
        """Keyword arguments for every kafka-python client."""
        return self.aiokafka()

    def faust(self) -> dict[str, Any]:
        """Keyword arguments for `faust.App`."""
        credentials: Any = None
        if self.sasl:
            from faust.auth import SASLCredentials

            password = self._sasl()["sasl_plain_password"]
            credentials = SASLCredentials(
                username=self.broker_sasl_username,
                password=password,
                mechanism=self.broker_sasl_mechanism,
                ssl_context=self.ssl_context(),
            )
        elif self.encrypted:
            from faust.auth import SSLCredentials

            credentials = SSLCredentials(context=self.ssl_context())
        return {
            "broker": [f"aiokafka://{server}" for server in self.servers],
            "broker_credentials": credentials,
        }

    def _sasl(self) -> dict[str, Any]:
        if not self.sasl or self.broker_sasl_password is None:
            return {}
        return {
            "sasl_mechanism": self.broker_sasl_mechanism,
            "sasl_plain_username": self.broker_sasl_username,
            "sasl_plain_password": self.broker_sasl_password.get_secret_value(),
        }
