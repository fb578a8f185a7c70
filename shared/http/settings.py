"""Settings that every process with a port has."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class ServiceSettings(BaseSettings):
    """Read from the environment: STREAMWHEEL_HOST, STREAMWHEEL_PORT, …; a service sets its default port."""

    model_config = SettingsConfigDict(env_prefix="STREAMWHEEL_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address to listen on; beyond this machine only with api_keys")
    port: int = Field(8000, ge=0, le=65535)
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="accepted keys, separated by commas"
    )
    log_level: Level = "INFO"
    instance: str | None = Field(
        None, description="name of this worker in its consumer group, for restarts without a rebalance"
    )
    applications: Path | None = Field(None, description="folder of the user's own YAML applications")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(key for part in value.split(",") if (key := part.strip()))
        return value

    @field_validator("applications", mode="before")
    @classmethod
    def _absent(cls, value: object) -> object:
        return value or None

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value
