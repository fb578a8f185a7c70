"""Records that cannot be used, kept byte for byte with the reason in their headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "__connect.errors."
"""The header names of Kafka Connect's dead letter queues, which tools know."""


@dataclass(frozen=True)
class Origin:
    """Where a dead letter came from and why it is one."""

    topic: str
    """Full name on the cluster."""
    partition: int
    offset: int
    reason: str
    """A short slug, as in the metrics."""
    message: str
    stage: str
    """The service that refused it."""


def headers(
    *, topic: str, partition: int, offset: int, reason: str, message: str, stage: str
) -> list[tuple[str, bytes]]:
    """The headers of a dead letter; see `Origin`."""
    named = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "exception.class.name": reason,
        "exception.message": message,
        "stage": stage,
    }
    return [(PREFIX + name, text.encode()) for name, text in named.items()]


def origin(found: Sequence[tuple[str, bytes]]) -> Origin:
    """Read `headers` back. Raises ValueError naming the header that is missing or malformed."""
    named = {name: content.decode("utf-8", "replace") for name, content in found}

    def text(name: str) -> str:
        if PREFIX + name not in named:
            raise ValueError(f"a dead letter without the header {PREFIX}{name}")
        return named[PREFIX + name]

    return Origin(
        topic=text("topic"),
        partition=int(text("partition")),
        offset=int(text("offset")),
        reason=text("exception.class.name"),
        message=text("exception.message"),
        stage=text("stage"),
    )
