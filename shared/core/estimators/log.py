"""Logged decisions as columns, and what makes a log unusable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats


@dataclass(frozen=True)
class Logged:
    """n logged decisions; every column has shape (n,)."""

    reward: Floats
    propensity: Floats
    """Probability with which the logging policy chose the logged action, in (0, 1]. For a log of several
    policies see `mixtures`."""
    target_propensity: Floats
    """Probability with which the target policy would have chosen it, in [0, 1]."""
    q_logged: Floats | None = None
    """A reward model's prediction for the logged action, from a model that has not seen the row."""
    q_target: Floats | None = None
    """The same model's mean prediction over the target policy's actions."""
    correction: Floats | None = None
    """Added to each row of the doubly robust estimate: what makes up for the bias of weights by a kernel."""
    cluster: NDArray[np.uint64] | None = None
    """Hash of the subject, where rows of one subject depend on one another."""
    metrics: Mapping[str, Floats] = field(default_factory=dict)
    """Guarded metrics beside the reward, by name."""
    baseline_propensity: Floats | None = None
    """Probability with which the baseline policy would have chosen the logged action; None: the baseline is
    the behaviour policy."""

    moments: Floats | None = None
    """(2, n), see `weights.expected_moments`; None if none of the logging policy's distributions is known."""

    def __len__(self) -> int:
        return len(self.reward)

    @cached_property
    def weight(self) -> Floats:
        """Importance weights: target propensity over logged propensity, never clipped."""
        return np.asarray(self.target_propensity / self.propensity)

    @property
    def models(self) -> tuple[Floats, Floats]:
        """Both predictions of the reward model. Raises ValueError if the log has none."""
        if self.q_logged is None or self.q_target is None:
            raise ValueError("this estimator needs the columns q_logged and q_target")
        return self.q_logged, self.q_target


@dataclass(frozen=True)
class Fault:
    """The first value of a column that no estimator can use."""

    column: str
    row: int
    """From 0, within the chunk."""
    value: float
    wanted: str

    def __str__(self) -> str:
        return f"column {self.column}, row {self.row + 1}: {self.value!r}; it must be {self.wanted}"


NUMBER = "a finite number"
SQUARE = "a finite number, not below 0"
PROBABILITY = "a finite number in [0, 1]"
PROPENSITY = "a finite number in (0, 1]: an action that was taken had a probability"


def first_fault(log: Logged) -> Fault | None:
    """Return the fault in the earliest row, None for a sound log."""
    propensity, found = log.propensity, []
    # NaN fails every comparison, so it is a fault here too.
    checks: list[tuple[str, Floats | None, NDArray[np.bool_] | None, str]] = [
        ("reward", log.reward, None, NUMBER),
        ("propensity", propensity, (propensity > 0) & (propensity <= 1), PROPENSITY),
        ("target_propensity", log.target_propensity, _share(log.target_propensity), PROBABILITY),
        ("q_logged", log.q_logged, None, NUMBER),
        ("q_target", log.q_target, None, NUMBER),
        ("correction", log.correction, None, NUMBER),
        ("the baseline's propensity", log.baseline_propensity, _share(log.baseline_propensity), PROBABILITY),
        *((name, values, None, NUMBER) for name, values in log.metrics.items()),
    ]
    if log.moments is not None:
        for name, values in zip(("weight_square", "weight_fourth"), log.moments, strict=True):
            checks.append((name, values, np.isfinite(values) & (values >= 0), SQUARE))
    for name, values, sound, wanted in checks:
        if values is None:
            continue
        sound = np.isfinite(values) if sound is None else sound
        if not sound.all():
            row = int(np.argmin(sound))
            found.append(Fault(name, row, float(values[row]), wanted))
    return min(found, key=lambda fault: fault.row, default=None)


def _share(values: Floats | None) -> NDArray[np.bool_] | None:
    return None if values is None else (values >= 0) & (values <= 1)
