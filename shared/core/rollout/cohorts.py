"""The decisions of one stage and their rewards: each counts once, at its latest revision.

Revisions of a decision lie in one partition, in order, so each partition has a clock of its own: how far its
rewards are known. A decision that no revision can reach any more is forgotten, and only sums stay.
"""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Literal

from shared.core.rollout.arms import Arm, Values

KEPT_MS = 60_000
"""How long a decision is remembered after its last correction is due: for a join that lags behind."""
ArmName = Literal["stable", "canary"]


@dataclass(frozen=True)
class Revision:
    """A reward of one decision of the stage; values of every metric, the reward first."""

    decision_id: str
    arm: ArmName
    group: int
    decision_time: int
    """Milliseconds of the clock that `advance` is told."""
    revision: int
    values: Values
    previous_reward: float = 0.0


@dataclass
class _Open:
    arm: ArmName
    group: int
    revision: int
    values: Values
    counted: bool


@dataclass
class _Partition:
    clock: int = 0
    open: dict[str, _Open] = field(default_factory=dict)
    due: list[tuple[int, int, bool, str]] = field(default_factory=list)
    """(when, order, whether it is then forgotten, decision) as a heap."""


class Cohorts:
    """Both arms of one stage, over m metrics.

    `revised`: whether rewards come before their window is closed (emission on_interaction). They then count
    once it is and nothing can correct them, so that both arms are compared over the same time. Otherwise they
    come when it closes, and count at once.
    """

    def __init__(self, metrics: int, wait_ms: int, hold_ms: int, revised: bool) -> None:
        self.arms: dict[ArmName, Arm] = {"stable": Arm(metrics), "canary": Arm(metrics)}
        self.latest: dict[ArmName, int] = {"stable": 0, "canary": 0}
        """Decision time of the newest decision that counts, 0 for none."""
        self._wait, self._hold, self._revised = wait_ms, hold_ms, revised
        self._partitions: dict[int, _Partition] = {}
        self._order = count()

    @property
    def remembered(self) -> int:
        """Decisions that a revision may still reach."""
        return sum(len(each.open) for each in self._partitions.values())

    def take(self, partition: int, revision: Revision) -> None:
        """Take the next reward of a partition; an older revision than is known changes nothing."""
        place = self._partitions.setdefault(partition, _Partition())
        known = place.open.get(revision.decision_id)
        if known is None and revision.revision > 0 and revision.decision_time + self._last < place.clock:
            self._late(revision)
        elif known is None:
            self._begin(place, revision)
        elif revision.revision > known.revision:
            if known.counted:
                self.arms[known.arm].replace(known.group, known.values, revision.values)
            known.revision, known.values = revision.revision, revision.values

    def advance(self, partition: int, clock: int) -> None:
        """All rewards of a partition up to a time (ms) are known."""
        place = self._partitions.setdefault(partition, _Partition())
        place.clock = max(place.clock, clock)
        while place.due and place.due[0][0] <= place.clock:
            _, _, forgotten, decision_id = heappop(place.due)
            if forgotten:
                del place.open[decision_id]
            else:
                self._count(place.open[decision_id])

    @property
    def _last(self) -> int:
        return self._wait + self._hold + KEPT_MS

    def _begin(self, place: _Partition, revision: Revision) -> None:
        known = _Open(revision.arm, revision.group, revision.revision, revision.values, counted=False)
        place.open[revision.decision_id] = known
        closed = revision.decision_time + self._wait + self._hold
        if self._revised:
            heappush(place.due, (closed, next(self._order), False, revision.decision_id))
        else:
            self._count(known)
        self.latest[known.arm] = max(self.latest[known.arm], revision.decision_time)
        heappush(place.due, (closed + KEPT_MS, next(self._order), True, revision.decision_id))

    def _count(self, known: _Open) -> None:
        known.counted = True
        self.arms[known.arm].add(known.group, known.values)

    def _late(self, revision: Revision) -> None:
        """A correction of a decision that is forgotten: what it changes of the reward is in the record."""
        change = (revision.values[0] or 0.0) - revision.previous_reward
        self.arms[revision.arm].correct(revision.group, 0, change)
