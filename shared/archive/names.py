"""What the archive's file names say. They say enough to go on after a crash without opening a file.

    application=shop/day=2026-11-21/rewards-3-00000000000000000100-00000000000000000200-57-0.parquet
    positions/rewards-3-00000000000000000200

The first holds the 57 rewards of that application and day which lie at offsets 100 to 199 of partition 3, in
revision 0: each erasure makes a new revision. The second, an empty file, says that everything before offset
200 of partition 3 is archived; what begins at 200 or later was left by a writer that was killed.
"""

import re
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, unquote

POSITIONS = "positions"
_DIGITS = 20
"""Of the largest offset, so that names sort as numbers do."""
_PART = re.compile(
    r"application=([^/]+)/day=(\d{4}-\d\d-\d\d)/rewards-(\d+)-(\d{20})-(\d{20})-(\d+)-(\d+)\.parquet",
    re.ASCII,
)
_POSITION = re.compile(rf"{POSITIONS}/rewards-(\d+)-(\d{{20}})", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One Parquet file: `rows` rewards of an application and a day at offsets in [first, next)."""

    application: str
    day: date
    partition: int
    first: int
    next: int
    rows: int
    revision: int = 0

    @property
    def name(self) -> str:
        """The file's name below the archive."""
        return (
            f"application={quote(self.application, safe='')}/day={self.day.isoformat()}/"
            f"rewards-{self.partition}-{self.first:0{_DIGITS}}-{self.next:0{_DIGITS}}-"
            f"{self.rows}-{self.revision}.parquet"
        )

    @property
    def place(self) -> tuple[str, date, int, int, int]:
        """What all revisions of a file have in common."""
        return self.application, self.day, self.partition, self.first, self.next


def parse_part(name: str) -> Part | None:
    """The part of that name; None for any other file."""
    found = _PART.fullmatch(name)
    if found is None:
        return None
    application, day, partition, first, following, rows, revision = found.groups()
    numbers = (int(partition), int(first), int(following), int(rows), int(revision))
    return Part(unquote(application), date.fromisoformat(day), *numbers)


def position_name(partition: int, next_offset: int) -> str:
    """The name of the file that says how far a partition is archived."""
    return f"{POSITIONS}/rewards-{partition}-{next_offset:0{_DIGITS}}"


def parse_position(name: str) -> tuple[int, int] | None:
    """(partition, next offset) of such a name; None for any other file."""
    found = _POSITION.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None
