"""An arm that starts anew: what its earlier decisions taught no longer counts."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Self


@dataclass(frozen=True)
class Reset:
    """One action of one learner, from one moment on.

    Decisions are told apart by their own time, which is the same in every revision of their reward: a
    correction of one that no longer counts changes nothing.
    """

    action: int
    """Its index."""
    asked_ms: int
    """When somebody asked for it; a request that is not later than a known one of the action is that one."""
    since_ms: int
    """Decisions made before this time do not count: those before the request, and all that were learnt."""
    row: int
    """Reward records learnt before it."""

    @classmethod
    def from_json(cls, numbers: Sequence[int]) -> Self:
        """Restore what `to_json` gave."""
        return cls(*map(int, numbers))

    def to_json(self) -> list[int]:
        """As a list of numbers."""
        return list(astuple(self))


def latest_request(resets: Iterable[Reset], action: int) -> int:
    """When the newest known reset of an action was asked for, in ms; -1 without one."""
    return max((each.asked_ms for each in resets if each.action == action), default=-1)
