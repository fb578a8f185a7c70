"""Settings of the trainer."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from shared.applications.durations import Duration
from shared.notifying.settings import NotifyingSettings


class TrainerSettings(NotifyingSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "30d"."""

    port: int = Field(8004, ge=0, le=65535)
    state: Path = Field(Path(".state/trainer"), description="folder for trainings under way and their logs")
    archive: str = Field("", description="address of the archive, as fsspec has it; empty: in `state`")
    artefacts: str = Field("", description="address that artefacts are kept at; empty: in `state`")
    exports: str = Field("", description="address that GGUF files are written to; empty: in `state`")
    trains: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="applications trained here, separated by commas; empty: all. Others are left to others",
    )

    flush_rewards: int = Field(200_000, gt=0, description="rewards of a partition that make a file")
    flush_bytes: int = Field(
        32 << 20,
        gt=0,
        description="bytes of rewards held, of all partitions; beyond, the largest part of them makes a file",
    )
    flush_after: Duration = Field(timedelta(minutes=1), description="how long rewards wait for more")
    retention: Duration = Field(timedelta(days=90), description="days older than this are removed")
    watch_every: Duration = Field(
        timedelta(seconds=10), description="how often to look for new rewards to train on"
    )

    parallel: int = Field(1, ge=1, description="trainings at a time, of different applications")
    waiting: int = Field(100, ge=1, description="open requests; more wait in Kafka")
    memory_mb: int = Field(16_384, gt=0, description="resident memory of a training")
    time_limit: Duration = Field(timedelta(hours=12), description="how long a training may take")
    attempts: int = Field(3, ge=1, description="how often a training that crashes is begun")
    backoff: Duration = Field(
        timedelta(seconds=5), description="wait after the first crash; doubles each time"
    )
    progress_every: Duration = Field(
        timedelta(seconds=5), description="least time between records of progress"
    )
    training_command: Annotated[tuple[str, ...], NoDecode] = Field(
        (sys.executable, "-m", "services.trainer.training"),
        description="what runs a training, words separated by spaces; the path of its orders is added",
    )
    body_limit: int = Field(1 << 20, gt=0, description="bytes of a request's body")
    kafka_limit: Duration = Field(
        timedelta(seconds=10), description="how long to wait for Kafka before a 503"
    )

    @field_validator("trains", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return (
            tuple(name for part in value.split(",") if (name := part.strip()))
            if isinstance(value, str)
            else value
        )

    @field_validator("training_command", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @property
    def archive_address(self) -> str:
        """Where rewards are archived."""
        return self.archive or str(self.state.absolute() / "archive")

    @property
    def artefact_address(self) -> str:
        """Where artefacts are kept."""
        return self.artefacts or str(self.state.absolute() / "artefacts")

    @property
    def export_address(self) -> str:
        """Where GGUF files are written to."""
        return self.exports or str(self.state.absolute() / "exports")
