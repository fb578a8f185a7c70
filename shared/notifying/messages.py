"""What is told, and what can go wrong in telling it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Message:
    """One piece of news, in the forms that channels need."""

    subject: str
    """One line."""
    text: str
    """For people; Slack's marks are allowed."""
    document: Mapping[str, Any]
    """For programs, as JSON."""


class Undelivered(Exception):
    """A channel did not take a message. What it says holds no address and no secret."""


class Channel(Protocol):
    """One place that messages go to; used by one thread."""

    def send(self, message: Message) -> None:
        """Return once the other side has taken the message. Raises Undelivered."""

    def close(self) -> None:
        """Let connections go."""
