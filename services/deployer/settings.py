"""Settings of the deployer."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import NoDecode

from shared.applications.durations import Duration
from shared.notifying.settings import NotifyingSettings


class DeployerSettings(NotifyingSettings):
    """From STREAMWHEEL_… environment variables; durations are written as in "5m"."""

    port: int = Field(8003, ge=0, le=65535)
    poll: Duration = Field(
        timedelta(milliseconds=50), description="how long to wait for records before looking at guards"
    )
    quiet: Duration = Field(
        timedelta(minutes=5),
        description="an arm without rewards for so long, beyond their windows, has missing data",
    )
    ollama_host: str | None = Field(
        None,
        validation_alias=AliasChoices("OLLAMA_HOST", "ollama_host"),
        description="an Ollama server that language models are rolled out to; empty: none",
    )
    export_command: Annotated[tuple[str, ...], NoDecode] = Field(
        (sys.executable, "-m", "shared.cli", "export"),
        description="what registers a model with Ollama, words separated by spaces; flags of `export` follow",
    )
    export_limit: Duration = Field(timedelta(hours=2), description="how long that may take")
    state: Path = Field(
        Path(".state/deployer"), description="folder of copies of artefacts that lie elsewhere"
    )
    artefact_bytes: int = Field(1 << 36, gt=0, description="largest artefact that is copied to be verified")
    storage_limit: Duration = Field(
        timedelta(minutes=10), description="how long a storage of artefacts that cannot be reached is tried"
    )
    patience: Duration = Field(
        timedelta(seconds=1),
        description="how long going back waits for an earlier artefact to be verified; decision APIs verify "
        "what they use themselves",
    )
    body_limit: int = Field(1 << 16, gt=0, description="bytes of a request's body")
    kafka_limit: Duration = Field(
        timedelta(seconds=10), description="how long a command waits to be in the log before a 503"
    )

    @property
    def copies(self) -> Path:
        """Where copies of artefacts lie."""
        return self.state / "artefacts"

    @field_validator("export_command", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value
