"""Who was erased: one small JSON file for each erasure, which writers of the archive obey from then on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import polars as pl

from shared.archive.storage import Storage

FOLDER = "erased"


class Erased(NamedTuple):
    """A reward that is gone, and since when."""

    application: str
    partition: int
    offset: int
    decision_time: int
    erased_at: int


@dataclass(frozen=True)
class Tombstone:
    """The rewards of a subject's decisions before a time are gone; those of later ones are kept.

    `application` None means all of them; times are in milliseconds since 1970. `rewards` are those that the
    archive held, so that candidates trained on them can be found.
    """

    subject_id: str
    application: str | None
    before: int
    rewards: tuple["Erased", ...] = ()

    @property
    def name(self) -> str:
        """The file's name: the same for the same subject, whenever it is asked for again."""
        asked = json.dumps([self.subject_id, self.application])
        return f"{FOLDER}/{hashlib.sha256(asked.encode()).hexdigest()}.json"

    def rows(self) -> pl.Expr:
        """Which rows of the archive it is about."""
        mine = (pl.col("subject_id") == self.subject_id) & (pl.col("decision_time") < self.before)
        return mine if self.application is None else mine & (pl.col("application") == self.application)


def without(frame: pl.DataFrame, erased: Sequence[Tombstone]) -> pl.DataFrame:
    """The rows that no tombstone is about."""
    for tombstone in erased:
        frame = frame.filter(~tombstone.rows())
    return frame


def write(storage: Storage, tombstone: Tombstone) -> None:
    """Put it down, in place of one for the same erasure. Raises OSError."""
    storage.write(tombstone.name, json.dumps(asdict(tombstone)).encode())


def read(storage: Storage) -> list[Tombstone]:
    """Every tombstone."""
    found = []
    for name in storage.names(FOLDER):
        document = json.loads(storage.read(name))
        rewards = tuple(Erased(*row) for row in document.pop("rewards"))
        found.append(Tombstone(**document, rewards=rewards))
    return found
