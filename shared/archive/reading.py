"""Training data by name: the rewards of an application in ranges of offsets, the same rows each time."""

import hashlib
from collections.abc import Collection, Iterable
from io import BytesIO

import polars as pl

from shared.algorithms.contract import Source
from shared.archive.archive import Archive
from shared.archive.columns import DAY_MS, empty
from shared.archive.names import Part
from shared.wire.training import Span


class NotArchived(ValueError):
    """A range of offsets that the archive does not have all of; the message says how far it goes."""


def archived(archive: Archive, application: str, decided_from: int = 0) -> tuple[Span, ...]:
    """What the archive has of an application now, of decisions from a time on: a range for each partition."""
    positions, firsts = archive.positions(), dict[int, int]()
    for part in archive.parts(application):
        if _day_end(part) > decided_from:
            firsts[part.partition] = min(part.first, firsts.get(part.partition, part.first))
    return tuple(Span(partition, first, positions[partition]) for partition, first in sorted(firsts.items()))


def parts_of(
    archive: Archive, application: str, spans: Collection[Span], decided_from: int = 0
) -> list[Part]:
    """The files that hold such rewards, in log order. Raises NotArchived."""
    positions = archive.positions()
    for span in spans:
        if (position := positions.get(span.partition, 0)) < span.next:
            raise NotArchived(f"partition {span.partition} is archived up to {position}, not to {span.next}")
    return [
        part for part in archive.parts(application) if _day_end(part) > decided_from and _within(part, spans)
    ]


def read_rewards(
    archive: Archive, application: str, spans: Collection[Span], decided_from: int = 0
) -> tuple[pl.DataFrame, tuple[Source, ...]]:
    """The rewards of an application in ranges of offsets, in log order, and the files that they lie in.

    Every revision of a reward is a row. Raises NotArchived, and
    FileNotFoundError if a file was rewritten or removed meanwhile: then ask again.
    """
    frames, sources = [empty()], []
    for part in parts_of(archive, application, spans, decided_from):
        content = archive.storage.read(part.name)
        rows = _chosen(pl.read_parquet(BytesIO(content)), spans, decided_from)
        if rows.height:
            digest = hashlib.sha256(content).hexdigest()
            offsets = rows["offset"]
            sources.append(Source(part.name, digest, rows.height, part.partition, offsets[0], offsets[-1]))
            frames.append(rows)
    # A writer that was fenced too late can have archived the end of another one's file again.
    found = pl.concat(frames).unique(["partition", "offset"], keep="first", maintain_order=True)
    return found.sort("partition", "offset"), tuple(sources)


def _chosen(rows: pl.DataFrame, spans: Iterable[Span], decided_from: int) -> pl.DataFrame:
    within = pl.lit(False)
    for span in spans:
        offsets = pl.col("offset").is_between(span.first, span.next, closed="left")
        within |= (pl.col("partition") == span.partition) & offsets
    return rows.filter(within & (pl.col("decision_time") >= decided_from))


def _within(part: Part, spans: Iterable[Span]) -> bool:
    return any(
        span.partition == part.partition and part.first < span.next and span.first < part.next
        for span in spans
    )


def _day_end(part: Part) -> int:
    """The first moment after a file's day, in milliseconds since 1970."""
    return (part.day.toordinal() - 719_163 + 1) * DAY_MS
