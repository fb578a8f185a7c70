"""How large a record and a batch of records may be."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes]]

MAX_BATCH_BYTES = 900_000
"""Below Kafka's default message.max.bytes of 1,048,588, with room for a batch's own framing."""
MAX_RECORD_BYTES = 16 * 1024 * 1024
"""What the topics of producers and of dead letters take: any garbage that got in must fit there too."""
RECORD_FRAMING_BYTES = 64
"""At most what Kafka adds to a record's key, value and headers: varint lengths and deltas."""


class RecordTooLarge(ValueError):
    """A record is larger than Kafka takes."""


def record_size(key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
    """An upper bound of a record's bytes on the wire, as long as it has only a few headers."""
    size = len(key or b"") + len(value or b"") + RECORD_FRAMING_BYTES
    for name, content in headers:
        size += len(name) + len(content)
    return size


def check_size(size: int) -> None:
    """Raise RecordTooLarge if a record of `size` bytes does not fit into one batch."""
    if size > MAX_BATCH_BYTES:
        raise RecordTooLarge(
            f"a record of {size:,} bytes is larger than the {MAX_BATCH_BYTES:,} that fit a batch"
        )
