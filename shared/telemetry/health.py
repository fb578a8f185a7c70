"""Is this process alive, and may it be given work?

Alive (`/healthz`) means that its loops make progress: a loop is ill when it has work and has not moved for
its limit, or when nobody has reported on it at all. Ready (`/readyz`) means that every check passes.
"""

from collections.abc import Callable
from dataclasses import dataclass

#: Seconds, by a monotonic clock.
Clock = Callable[[], float]
#: None when ready, else what is missing.
Check = Callable[[], str | None]


@dataclass
class Loop:
    """Progress of one loop, as told by the loop (`beat`) and by whoever measures its lag (`observe`)."""

    name: str
    limit: float
    clock: Clock
    lag: int = 0
    position: object = None

    def __post_init__(self) -> None:
        self._moved = self._heard = self.clock()

    def beat(self) -> None:
        """The loop has done a piece of work, or has found that there is none."""
        self._moved = self._heard = self.clock()

    def observe(self, lag: int, position: object = None) -> None:
        """`lag` records wait for the loop, which stands at `position` (anything comparable with ==).

        Counts as progress while there is nothing to do, and whenever the position has changed.
        """
        now = self._heard = self.clock()
        if lag == 0 or self.lag == 0 or (position is not None and position != self.position):
            self._moved = now
        self.lag, self.position = lag, position

    def problem(self) -> str | None:
        """Why the loop is ill, or None."""
        now = self.clock()
        if now - self._heard > self.limit:
            return f"{self.name}: no report for {now - self._heard:.1f} s (limit {self.limit:g} s)"
        if now - self._moved > self.limit:
            return f"{self.name}: no progress for {now - self._moved:.1f} s with {self.lag} records waiting"
        return None


class Health:
    """The loops and the readiness checks of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loops: list[Loop] = []
        self._checks: dict[str, Check] = {}

    def loop(self, name: str, limit: float = 30.0) -> Loop:
        """Watch a loop that has to report and to progress within `limit` seconds."""
        loop = Loop(name, limit, self._clock)
        self._loops.append(loop)
        return loop

    def check(self, name: str, check: Check) -> None:
        """Ask `check` before saying ready; a name given twice replaces the first."""
        self._checks[name] = check

    def illnesses(self) -> list[str]:
        """What ails the loops; empty means alive."""
        return [problem for loop in self._loops if (problem := loop.problem())]

    def hindrances(self) -> list[str]:
        """What stands against giving this process work: illnesses and failing checks; empty means ready."""
        checks = [f"{name}: {problem}" for name, check in self._checks.items() if (problem := check())]
        return self.illnesses() + checks
