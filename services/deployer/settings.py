"""Settings of the deployer."""

from datetime import timedelta

from pydantic import Field, SecretStr

from shared.applications.durations import Duration
from shared.http.settings import ServiceSettings


class DeployerSettings(ServiceSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "5m"."""

    port: int = Field(8003, ge=0, le=65535)
    poll: Duration = Field(
        timedelta(milliseconds=50), description="how long to wait for records before looking at guards"
    )
    quiet: Duration = Field(
        timedelta(minutes=5),
        description="an arm without rewards for so long, beyond their windows, has missing data",
    )
    webhook: SecretStr | None = Field(None, description="address that each event is posted to, as JSON")
    slack_webhook: SecretStr | None = Field(
        None, description="address that each event is posted to, as Slack has it"
    )
    notify_attempts: int = Field(4, ge=1, description="how often a notification is tried")
    notify_backoff: Duration = Field(
        timedelta(seconds=1), description="wait after the first failure; doubles each time"
    )
    body_limit: int = Field(1 << 16, gt=0, description="bytes of a request's body")
    kafka_limit: Duration = Field(
        timedelta(seconds=10), description="how long a command waits to be in the log before a 503"
    )
