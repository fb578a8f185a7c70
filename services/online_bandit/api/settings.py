"""Settings of the decision API."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from shared.applications.durations import Duration
from shared.core.rollout.assignment import KEY_BYTES
from shared.http.settings import ServiceSettings


class ApiSettings(ServiceSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "2s"."""

    port: int = Field(8002, ge=0, le=65535)
    state: Path = Field(Path(".state/decisions"), description="folder of the spool and the policies' cache")
    body_limit: int = Field(4 << 20, gt=0, description="bytes of a request's body")
    batch_limit: int = Field(1_000, gt=0, description="decisions of one request")
    buffer_bytes: int = Field(32 << 20, gt=0, description="bytes that may wait for Kafka before a 503")
    kafka_limit: Duration = Field(
        timedelta(seconds=2), description="how long a decision waits for Kafka before it goes to the spool"
    )
    retry_pause: Duration = Field(
        timedelta(milliseconds=500), description="between attempts to publish the spool while Kafka is away"
    )
    spool_bytes: int = Field(1 << 30, gt=0, description="largest spool; beyond it decisions are refused")
    remembered: int = Field(
        10_000, ge=0, description="replies that are kept for requests sent again with the same decision_id"
    )
    policy_wait: Duration = Field(
        timedelta(seconds=20),
        description="how long starting waits for the learnt policies, if Kafka answers at all",
    )
    cache_pause: Duration = Field(
        timedelta(seconds=30), description="between saves of the policies for a start without Kafka"
    )
    assignment_key: SecretStr | None = Field(
        None,
        description="secret that assigns subjects to a rollout's arms, the same for all replicas; "
        "without one nobody gets a canary",
    )
    artefact_bytes: int = Field(1 << 30, gt=0, description="largest artefact that is fetched to be served")

    @field_validator("assignment_key")
    @classmethod
    def _fits(cls, value: SecretStr | None) -> SecretStr | None:
        size = 0 if value is None else len(value.get_secret_value().encode())
        if size > KEY_BYTES:
            raise ValueError(f"has {size} bytes; at most {KEY_BYTES} are allowed")
        return value if size else None

    @property
    def key(self) -> bytes | None:
        """The key of the assignment."""
        return None if self.assignment_key is None else self.assignment_key.get_secret_value().encode()
