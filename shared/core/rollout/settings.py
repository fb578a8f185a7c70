"""How an application's candidates are rolled out."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One step of a rollout. Raises ValueError naming the field whose value is not allowed."""

    name: str
    share: float
    """Of subjects that get the candidate, in [0, 1]; 0 is shadow: it decides, and nobody sees it."""
    bake_s: float
    """Least seconds before the next stage."""
    samples: int
    """Least closed rewards of each arm before the next stage."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share of {self.name} is {self.share!r}; it must be in [0, 1]")
        if not (math.isfinite(self.bake_s) and self.bake_s >= 0):
            raise ValueError(f"bake_s of {self.name} is {self.bake_s!r}; it must be at least 0")
        if self.samples < 0:
            raise ValueError(f"samples of {self.name} is {self.samples!r}; it must be at least 0")


HOUR = 3600.0
DEFAULT = (
    Stage("shadow", 0.0, HOUR, 0),
    Stage("10 %", 0.1, 6 * HOUR, 500),
    Stage("50 %", 0.5, 12 * HOUR, 500),
    Stage("100 %", 1.0, 12 * HOUR, 0),
    Stage("watch", 1.0, 24 * HOUR, 0),
)
"""At 100 % and while it is watched there is no other arm to count; stable is kept to go back to until the
last stage is over."""


@dataclass(frozen=True)
class RolloutSettings:
    """Raises ValueError if stages are none or shares fall."""

    stages: tuple[Stage, ...] = DEFAULT
    longest_s: float = 14 * 24 * HOUR
    """Age at which a rollout that has not become stable is given up: two weeks of not knowing are enough."""
    supersede: bool = False
    """Whether a newer candidate ends the running rollout instead of waiting for it."""
    breach_blocks_s: float | None = None
    """How long a candidate that breached a guard stays blacklisted; None is for ever."""

    def __post_init__(self) -> None:
        shares = [stage.share for stage in self.stages]
        if not shares or shares != sorted(shares) or shares[-1] != 1.0:
            raise ValueError("stages must have shares that never fall, and end at 1")
        if not self.longest_s > 0:
            raise ValueError(f"longest_s is {self.longest_s!r}; it must be above zero")
