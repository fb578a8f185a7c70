"""The coefficient that holds a policy near its reference (Ziegler et al. 2019, arXiv 1909.08593, 2.2)."""

from dataclasses import dataclass, replace
from typing import Self

#: Share of the coefficient that a step may change at most, and how much of the error counts.
_STEP, _GAIN = 0.2, 0.1
#: Share of the target that is steered to: who steers to all of it is beyond it half of the time.
AIM = 0.8
#: A training whose divergence is this many times the target is over: it will not come back.
RUNAWAY = 10.0


@dataclass(frozen=True)
class Control:
    """Proportional control of the divergence, in nats per token."""

    coefficient: float
    target: float

    def after(self, divergence: float) -> Self:
        """Raise the coefficient where the divergence is near the target or above, else lower it."""
        error = min(max(divergence / (AIM * self.target) - 1, -_STEP), _STEP)
        return replace(self, coefficient=self.coefficient * (1 + _GAIN * error))

    def ran_away(self, divergence: float) -> bool:
        """Whether to stop."""
        return divergence > RUNAWAY * self.target
