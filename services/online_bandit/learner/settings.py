"""Settings of the learner."""

from datetime import timedelta

from pydantic import Field

from shared.applications.durations import Duration
from shared.http.settings import ServiceSettings


class LearnerSettings(ServiceSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "100ms"."""

    port: int = Field(8007, ge=0, le=65535)
    publish_pause: Duration = Field(
        timedelta(milliseconds=100), description="between publications of one partition, while there is news"
    )
    snapshot_bytes: int = Field(
        256_000,
        gt=0,
        description="statistics up to this size are published whole every time, larger as deltas",
    )
    snapshot_rate: int = Field(
        8_000_000, gt=0, description="bytes a second for whole snapshots of large policies, in all partitions"
    )
    instance: str | None = Field(
        None, description="name of this worker in its group: restarted, it takes up its partitions at once"
    )
