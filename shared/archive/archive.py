"""The archive itself: every reward once, whatever happens to the process that writes."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl

from shared.archive import tombstones
from shared.archive.columns import DAY_MS
from shared.archive.names import POSITIONS, Part, parse_part, parse_position, position_name
from shared.archive.storage import Storage
from shared.archive.tombstones import Tombstone

_EPOCH = date(1970, 1, 1)
_LEVEL = 3
"""Of zstd: a fifth of the wire's bytes; higher ones cost more than they save."""


class Overtaken(RuntimeError):
    """Another process has archived this partition meanwhile; nothing of what was to be added counts."""


class Archive:
    """Parquet files at an address; see `names`. One process at a time writes a partition, any number read."""

    def __init__(self, address: str | Path) -> None:
        self.storage = Storage(str(address))

    def positions(self) -> dict[int, int]:
        """Partition → the first offset that is not archived. Partitions of which nothing is are left out."""
        found: dict[int, int] = {}
        for name in self.storage.names(POSITIONS):
            if parsed := parse_position(name):
                partition, following = parsed
                found[partition] = max(following, found.get(partition, 0))
        return found

    def parts(self, application: str | None = None) -> list[Part]:
        """Every file that counts, in log order within a partition.

        It is committed, in its last revision, and not archived a second time inside of another's range.
        """
        positions, newest = self.positions(), dict[object, Part]()
        for part in self._files():
            known = newest.get(part.place)
            committed = part.next <= positions.get(part.partition, 0)
            if committed and (known is None or known.revision < part.revision):
                newest[part.place] = part
        ordered = sorted(
            newest.values(), key=lambda part: (part.partition, part.first, -part.next, part.name)
        )
        return [part for part in _once(ordered) if application in (None, part.application)]

    def recover(self, partition: int) -> int | None:
        """Where to go on in a partition, None for its beginning; call it before the first `commit`.

        Removes what does not count: files that a writer did not come to commit, superseded revisions.
        """
        position = self.positions().get(partition)
        counted = {part.name for part in self.parts()}
        for part in self._files():
            if part.partition == partition and part.name not in counted:
                self.storage.remove(part.name)
        if position is not None:
            self._forget_positions(partition, position)
        return position

    def commit(self, partition: int, first: int, following: int, frame: pl.DataFrame) -> list[Part]:
        """Add the rewards at offsets [first, following), as `columns.decode` makes them.

        They count all together, at the moment in which the position's file appears.
        Raises OSError, Overtaken.
        """
        known = tombstones.read(self.storage)
        parts = []
        for application, day, rows in _split(tombstones.without(frame, known)):
            part = Part(application, day, partition, first, following, rows.height)
            self.storage.write(part.name, to_parquet(rows))
            parts.append(part)
        overtaken = self.positions().get(partition, 0) > first
        if overtaken or not all(self.storage.exists(part.name) for part in parts):
            for part in parts:
                self.storage.remove(part.name)
            raise Overtaken(f"partition {partition} was archived beyond {first} by another process")
        self.storage.write(position_name(partition, following), b"")
        self._forget_positions(partition, following)
        # A subject erased since `known` was read may not have been found in files that were not there yet.
        late = [tombstone for tombstone in tombstones.read(self.storage) if tombstone not in known]
        return self.rewrite(parts, late) if late else parts

    def load(self, part: Part, columns: list[str] | None = None) -> pl.DataFrame:
        """A file's rows. Raises FileNotFoundError if it was rewritten or removed meanwhile."""
        return pl.read_parquet(BytesIO(self.storage.read(part.name)), columns=columns)

    def rewrite(self, parts: Sequence[Part], erased: Sequence[Tombstone]) -> list[Part]:
        """Write files anew without the rewards of erased subjects; those that have none stay as they are."""
        kept = []
        for part in parts:
            frame = self.load(part)
            rest = tombstones.without(frame, erased)
            if rest.height == frame.height:
                kept.append(part)
                continue
            if rest.height:
                numbers = (part.partition, part.first, part.next, rest.height, part.revision + 1)
                kept.append(Part(part.application, part.day, *numbers))
                self.storage.write(kept[-1].name, to_parquet(rest))
            self.storage.remove(part.name)
        return kept

    def expire(self, before: date) -> list[Part]:
        """Remove the files of all days before this one; returns which."""
        old = [part for part in self._files() if part.day < before]
        for part in old:
            self.storage.remove(part.name)
        return old

    def _forget_positions(self, partition: int, but: int) -> None:
        for name in self.storage.names(POSITIONS):
            parsed = parse_position(name)
            if parsed and parsed[0] == partition and parsed[1] < but:
                self.storage.remove(name)

    def _files(self) -> Iterator[Part]:
        return (part for name in self.storage.names() if (part := parse_part(name)))


def _once(ordered: Sequence[Part]) -> Iterator[Part]:
    """Parts in order without those whose range lies inside of the range of one before."""
    partition, covering = -1, (0, 0)
    for part in ordered:
        span = (part.first, part.next)
        if part.partition != partition or part.next > covering[1]:
            partition, covering = part.partition, span
        if span == covering:
            yield part


def to_parquet(frame: pl.DataFrame) -> bytes:
    """A Parquet file of these rows, compressed with zstd."""
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=_LEVEL)
    return buffer.getvalue()


def _split(frame: pl.DataFrame) -> Iterator[tuple[str, date, pl.DataFrame]]:
    """The rows of each application and day (UTC, of the decision), in their order."""
    if frame.is_empty():
        return
    days = frame.select("application", (pl.col("decision_time") // DAY_MS).alias("day"))
    if days["day"].n_unique() == 1 and days["application"].n_unique() == 1:
        yield frame["application"][0], _day(days["day"][0]), frame
        return
    grouped = frame.with_columns(days["day"]).partition_by(
        "application", "day", as_dict=True, include_key=True
    )
    for (application, day), rows in grouped.items():
        yield str(application), _day(int(day)), rows.drop("day")


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)
