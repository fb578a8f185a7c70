"""What a partition commits with each transaction, and reads back after a restart."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Progress:
    """How far both inputs were taken in, as next offsets, and the join's clocks then, in milliseconds."""

    decisions: int
    interactions: int
    decisions_clock: int
    interactions_clock: int

    def to_metadata(self) -> str:
        """The text kept beside the committed offset."""
        return f"{self.decisions},{self.interactions},{self.decisions_clock},{self.interactions_clock}"

    @classmethod
    def from_metadata(cls, text: str | None) -> Self | None:
        """Read `to_metadata` back; None where nothing was ever committed."""
        return cls(*map(int, text.split(","))) if text else None
