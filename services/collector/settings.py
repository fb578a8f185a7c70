"""Settings of the collector."""

from datetime import timedelta

from pydantic import Field

from shared.applications.durations import Duration
from shared.http.settings import ServiceSettings


class CollectorSettings(ServiceSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "30d"."""

    port: int = Field(8001, ge=0, le=65535)
    body_limit: int = Field(4 << 20, gt=0, description="bytes of a request's body")
    batch_limit: int = Field(1_000, gt=0, description="events of one request")
    attribute_limit: int = Field(200, gt=0, description="attributes of one event")
    text_limit: int = Field(65_536, gt=0, description="characters of one attribute's text")
    value_limit: float = Field(
        1e9, gt=0, description="largest magnitude of a value; rewards are of order one"
    )
    oldest: Duration = Field(timedelta(days=90), description="how far in the past an event may lie")
    newest: Duration = Field(timedelta(minutes=5), description="how far a sender's clock may be ahead")
    buffer_bytes: int = Field(32 << 20, gt=0, description="bytes that may wait for Kafka before a 503")
    kafka_limit: Duration = Field(
        timedelta(seconds=10), description="how long to wait for Kafka before a 503"
    )
    retry_after: Duration = Field(timedelta(seconds=1), description="what a 503 tells the sender to wait")
