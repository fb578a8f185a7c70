"""One record at a time: a dictionary to bytes and back, behind either framing."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal, Protocol

import fastavro

from shared.wire.schemas import MARKER, Schema

Record = dict[str, Any]
Reason = Literal[
    "null-value",
    "bad-marker",
    "unknown-fingerprint",
    "truncated",
    "trailing-bytes",
    "malformed",
    "too-large",
]


class WireError(ValueError):
    """Bytes that are not a record of the topic, or a record that cannot become bytes; `reason` says why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason: Reason = reason


class Framing(Protocol):
    """What stands before a record's body and names the schema that it was written with."""

    def prefix(self, schema: Schema) -> bytes:
        """The bytes before a body written with the current version of `schema`; raises WireError."""

    def split(self, raw: bytes) -> tuple[bytes, int]:
        """(the writer's fingerprint, where the body begins); raises WireError."""


@dataclass(frozen=True)
class SingleObject:
    """C3 01, fingerprint: Avro's single-object encoding, which needs no registry."""

    def prefix(self, schema: Schema) -> bytes:
        """Ten bytes."""
        return schema.prefix

    def split(self, raw: bytes) -> tuple[bytes, int]:
        """Raises bad-marker or truncated."""
        if not raw.startswith(MARKER):
            raise WireError("bad-marker", f"expected {MARKER.hex()}, found {raw[:2].hex() or 'nothing'}")
        if len(raw) < len(MARKER) + 8:
            raise WireError("truncated", f"{len(raw)} bytes end inside the fingerprint")
        return raw[2:10], 10


@dataclass(frozen=True)
class Confluent:
    """00, schema id (big-endian): the framing of Confluent's schema registry.

    `fingerprints` maps the registry's id of every schema in use to that schema's fingerprint.
    """

    fingerprints: Mapping[int, bytes]

    def prefix(self, schema: Schema) -> bytes:
        """Five bytes; raises unknown-fingerprint if the registry has no id for `schema`."""
        for number, known in self.fingerprints.items():
            if known == schema.fingerprint:
                return b"\0" + number.to_bytes(4, "big")
        raise WireError("unknown-fingerprint", f"no registry id for {schema.name} {schema.fingerprint.hex()}")

    def split(self, raw: bytes) -> tuple[bytes, int]:
        """Raises bad-marker, truncated or unknown-fingerprint."""
        if not raw.startswith(b"\0"):
            raise WireError("bad-marker", f"expected 00, found {raw[:1].hex() or 'nothing'}")
        if len(raw) < 5:
            raise WireError("truncated", f"{len(raw)} bytes end inside the schema id")
        number = int.from_bytes(raw[1:5], "big")
        if number not in self.fingerprints:
            raise WireError("unknown-fingerprint", f"schema id {number} is not among those configured")
        return self.fingerprints[number], 5


SINGLE_OBJECT = SingleObject()


def encode(schema: Schema, record: Record, framing: Framing = SINGLE_OBJECT) -> bytes:
    """Bytes of `record`; times are integers in milliseconds or aware datetimes.

    Raises WireError: malformed if a field is missing, unknown or of the wrong type, too-large.
    """
    stream = BytesIO()
    stream.write(framing.prefix(schema))
    try:
        fastavro.schemaless_writer(stream, schema.encoder, record, strict_allow_default=True)
    except Exception as error:  # fastavro raises whatever the offending value happens to raise
        raise WireError("malformed", f"not a record of {schema.name}: {error}") from error
    check_size(schema, stream.tell())
    return stream.getvalue()


def decode(schema: Schema, raw: bytes | None, framing: Framing = SINGLE_OBJECT) -> Record:
    """The record in `raw`, as the current version of `schema` sees it; times are integers in milliseconds.

    A record written with an older version is resolved. Raises WireError.
    """
    if raw is None:
        raise WireError("null-value", "the record has no value")
    check_size(schema, len(raw))
    fingerprint, start = framing.split(raw)
    if fingerprint not in schema.writers:
        raise WireError("unknown-fingerprint", f"{fingerprint.hex()} is no version of {schema.name}")
    return _body(schema, fingerprint, raw, start)


def check_size(schema: Schema, size: int) -> None:
    """Raises too-large if a record of `size` bytes is longer than the schema allows."""
    if size > schema.limit:
        raise WireError("too-large", f"{size} bytes; a record of {schema.name} may have {schema.limit}")


def _body(schema: Schema, fingerprint: bytes, raw: bytes, start: int) -> Record:
    stream = BytesIO(raw)
    stream.seek(start)
    reader = None if fingerprint == schema.fingerprint else schema.decoder
    try:
        record: Record = fastavro.schemaless_reader(stream, schema.writers[fingerprint], reader)
    except Exception as error:  # hostile bytes reach every branch of fastavro
        reason: Reason = "truncated" if stream.tell() == len(raw) else "malformed"
        raise WireError(reason, f"{schema.name}, byte {stream.tell()} of {len(raw)}: {error}") from error
    if stream.tell() != len(raw):
        raise WireError("trailing-bytes", f"{len(raw) - stream.tell()} bytes after the record's end")
    return record
