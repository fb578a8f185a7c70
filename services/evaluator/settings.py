"""Settings of the evaluator."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from shared.applications.durations import Duration
from shared.http.settings import ServiceSettings


class EvaluatorSettings(ServiceSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "30d"."""

    port: int = Field(8005, ge=0, le=65535)
    state: Path = Field(Path(".state/evaluator"), description="folder for reports and snapshots")
    address: str = Field("", description="where reports are read, as in https://host; empty: host and port")

    window: Duration = Field(timedelta(days=30), description="how far back logged rewards are evaluated on")
    most_decisions: int = Field(
        500_000, ge=1_000, description="rewards of an application held for one evaluation: the newest"
    )
    storage_limit: Duration = Field(
        timedelta(minutes=10), description="how long a storage of artefacts that cannot be reached is tried"
    )

    shadow_age: Duration = Field(timedelta(days=14), description="age from which a candidate is not followed")
    shadows: int = Field(5, ge=0, description="candidates followed of an application: the newest")
    shadow_every: Duration = Field(
        timedelta(minutes=10), description="least time between two estimates of the same verdict"
    )
    look_every: Duration = Field(timedelta(seconds=1), description="how often estimates are looked at")
    snapshot_every: Duration = Field(
        timedelta(minutes=1), description="how often statistics are written to disk"
    )
    tuned_at: float = Field(5_000, gt=0, description="decisions at which confidence sequences are tightest")

    @property
    def reports(self) -> str:
        """Where reports are read."""
        return self.address.rstrip("/") or f"http://{self.host}:{self.port}"
