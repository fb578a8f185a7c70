"""How a log is evaluated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.core.estimators.bootstrap import METHODS
from shared.core.estimators.limits import Limits
from shared.core.estimators.verdict import Guard


@dataclass(frozen=True)
class Settings:
    """How a log is evaluated. Raises ValueError naming the field whose value is not allowed."""

    alpha: float = 0.05
    """1 - level of every interval, in (0, 1)."""
    resamples: int = 2000
    """Bootstrap resamples: a 95 % end then moves by about 2 % of the half-width from seed to seed."""
    seed: int = 0
    """Of resampling and of pooling subjects."""
    method: str = "percentile"
    """Bootstrap interval, percentile or bca."""
    decides: str | None = None
    """Name of the estimator whose interval the verdict is read from. None: dr where there is a reward model,
    else snips, which a shift of the rewards moves along and a heavy weight cannot throw beyond them."""
    tuned_at: float = 5000.0
    """Number of decisions at which confidence sequences are tightest."""
    baseline: float | None = None
    """A number to beat. None: the baseline policy's estimate, or the mean of the logged rewards."""
    guards: Sequence[Guard] = ()
    """Metrics beside the reward."""
    told: Sequence[str] = ()
    """Metrics that are estimated beside them and decide nothing."""
    widening: float = 1.0
    """Factor, at least 1, on the half-widths of bootstrap intervals and confidence sequences, and so on what
    the verdict is read from; see `calibration`."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha!r}; it must be in (0, 1)")
        if self.resamples < 100:
            raise ValueError(f"resamples is {self.resamples!r}; it must be at least 100")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed!r}; it must be between 0 and 2**63 - 1")
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; it must be one of {', '.join(METHODS)}")
        if self.baseline is not None and not math.isfinite(self.baseline):
            raise ValueError(f"baseline is {self.baseline!r}; it must be a finite number")
        if not (math.isfinite(self.widening) and self.widening >= 1):
            raise ValueError(f"widening is {self.widening!r}; it must be at least 1")
        if not self.tuned_at > 0:
            raise ValueError(f"tuned_at is {self.tuned_at!r}; it must be above zero")
