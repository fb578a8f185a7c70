"""Settings of the decision API."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from shared.applications.durations import Duration
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
