"""Files of records for Kafka: length, CRC-32, then topic, key, value and headers, each with its length."""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


class Record(NamedTuple):
    """One record for Kafka; `topic` is the full name."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def framed(record: Record) -> bytes:
    """The record as it stands in a file."""
    parts = [record.topic.encode(), record.key, record.value]
    parts += [part for name, value in record.headers for part in (name.encode(), value)]
    body = b"".join(_LENGTH.pack(len(part)) + part for part in parts)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def read(path: Path) -> tuple[list[Record], bytes]:
    """The records of a file, and the bytes after the last whole one: a write that a crash cut short."""
    raw = path.read_bytes()
    records, at = [], 0
    while (body := _body(raw, at)) is not None:
        records.append(_record(body))
        at += _FRAME.size + len(body)
    return records, raw[at:]


def append(path: Path, frames: Sequence[bytes]) -> None:
    """Write behind what the file has; all of it is on disk on return, or OSError is raised."""
    created = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    before = os.fstat(descriptor).st_size
    try:
        rest = memoryview(b"".join(frames))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        # What follows must not stand behind half a record.
        os.ftruncate(descriptor, before)
        raise
    finally:
        os.close(descriptor)
    if created:
        _sync_folder(path.parent)


def remove(path: Path) -> None:
    """Delete the file, durably."""
    path.unlink()
    _sync_folder(path.parent)


def replace(path: Path, records: Iterable[Record]) -> None:
    """Put a file of these records in the place of any other, as a whole or not at all."""
    draft = path.with_suffix(".draft")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for record in records:
            file.write(framed(record))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(path.parent)


def _body(raw: bytes, at: int) -> bytes | None:
    if at + _FRAME.size > len(raw):
        return None
    length, checksum = _FRAME.unpack_from(raw, at)
    body = raw[at + _FRAME.size : at + _FRAME.size + length]
    return body if len(body) == length and length and zlib.crc32(body) == checksum else None


def _record(body: bytes) -> Record:
    topic, key, value, *headers = _parts(body)
    pairs = zip(headers[::2], headers[1::2], strict=True)
    return Record(topic.decode(), key, value, tuple((name.decode(), text) for name, text in pairs))


def _parts(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        yield body[at : at + length]
        at += length


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
