"""Settings of the reward calculator, from `STREAMWHEEL_…` environment variables."""

from pydantic import Field

from shared.http.settings import ServiceSettings


class Settings(ServiceSettings):
    """What the reward calculator may be told."""

    port: int = Field(8006, ge=0, le=65535)
    clock_skew_ms: int = Field(1_000, ge=0)
    """How far the brokers' clocks may be behind this one; windows without traffic close so much later."""
    copies_ms: int = Field(60_000, ge=0)
    """How long after its window and hold a copy of a decision is known as one: at least as long as a decision
    API may spool before Kafka is back. It costs some hundred bytes a decision."""
    tick_ms: int = Field(100, ge=10)
    """How often to look whether the inputs are read to their end."""
    pace_ms: int = Field(40, ge=0)
    """Least time between two steps that are small: what comes meanwhile, in any partition, shares one."""
    state_mb: int = Field(1_024, ge=1)
    """Memory for open windows of all partitions; beyond it decisions wait in Kafka."""
    align_ms: int = Field(60_000, ge=1_000)
    """How far one input may be read ahead of the other, in broker time."""
    commit_ms: int = Field(1_000, ge=10)
    """How often progress is committed where there is nothing to write."""
