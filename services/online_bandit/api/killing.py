"""The kill switch: on disk, so that it holds over restarts and without Kafka."""

import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from shared.telemetry.logging import logger


@dataclass(frozen=True)
class Kill:
    """Only the online policy decides; since `at`, in ms since 1970."""

    event_id: str
    reason: str
    by: str
    at: int


class KillFile:
    """The applications whose kill switch is on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, applications: Collection[str]) -> dict[str, Kill]:
        """What was kept. With a file that cannot be read, every switch is on: the safe side."""
        if not self._path.exists():
            return {}
        try:
            document = orjson.loads(self._path.read_bytes())
            return {name: Kill(**each) for name, each in document.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            why = f"{self._path} cannot be read: {error}"
            logger(__name__).error("every kill switch is on", why=why)
            at = int(self._path.stat().st_mtime * 1000)
            return {name: Kill(f"unreadable-{at}-{name}", why, "decision API", at) for name in applications}

    def write(self, killed: Mapping[str, Kill]) -> None:
        """It is on disk on return. Raises OSError."""
        draft = self._path.with_suffix(".draft")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(orjson.dumps({name: asdict(each) for name, each in killed.items()}))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
