"""What a client remembers of the answers it got: the ids that must be in the log, and those that must not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.cli.audit.findings import Findings


@dataclass
class Ids:
    """Ids of one topic: of events that a 2xx acknowledged, and of events that were refused."""

    acknowledged: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)


@dataclass
class Journal:
    """A client's ids; empty for an audit without a client, which then leaves I1 and I2 unasked."""

    decisions: Ids = field(default_factory=Ids)
    interactions: Ids = field(default_factory=Ids)


class Roll:
    """Calls a journal's ids as a topic is read."""

    def __init__(self, topic: str, ids: Ids, findings: Findings) -> None:
        self._topic, self._refused, self._findings = topic, ids.refused, findings
        self._missing = set(ids.acknowledged)

    def present(self, ids: Iterable[str]) -> None:
        """These are in the log."""
        here = set(ids)
        self._missing -= here
        for each in sorted(here & self._refused):
            self._findings.broken("I2", f"{self._topic} has {each}, which was refused")

    def close(self) -> None:
        """The topic was read to its end."""
        for each in sorted(self._missing):
            self._findings.broken("I1", f"{each} was acknowledged and is not in {self._topic}")
