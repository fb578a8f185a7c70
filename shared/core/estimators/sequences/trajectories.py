"""Logged sequences of decisions as columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Floats


@dataclass(frozen=True)
class Trajectories:
    """n decisions of m trajectories, ordered by trajectory and within it by time.

    Raises ValueError if columns
    differ in length or trajectories are not in order.
    """

    trajectory: NDArray[np.int64]
    """(n,) index of the trajectory: 0 for the first, never falling, without gaps."""
    reward: Floats
    propensity: Floats
    target_propensity: Floats
    state: Floats
    """(n, d) features of the state; one-hot rows make fitted-Q evaluation tabular."""
    action: NDArray[np.int64]
    """(n,) index of the logged action."""
    target_probabilities: Floats
    """(n, k) distribution of the target policy in that state."""
    discount: float = 1.0
    """Factor in [0, 1] by which a reward counts less one step later."""
    cut: bool = False
    """Whether trajectories were cut off, by the log's end say, so that what follows their last decision is
    unknown. Otherwise they ended, and nothing followed."""

    def __post_init__(self) -> None:
        n = len(self.trajectory)
        for name in ("reward", "propensity", "target_propensity", "state", "action", "target_probabilities"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, trajectory has {n}")
        if not 0.0 <= self.discount <= 1.0:
            raise ValueError(f"discount is {self.discount!r}; it must be in [0, 1]")
        steps = np.diff(self.trajectory, prepend=-1)
        if n and (self.trajectory[0] != 0 or not np.isin(steps, (0, 1)).all()):
            raise ValueError("trajectory must be 0 first, and grow by 0 or 1 from row to row")

    @property
    def starts(self) -> NDArray[np.int64]:
        """(m,) the row of each trajectory's first decision."""
        return np.flatnonzero(np.diff(self.trajectory, prepend=-1))

    @property
    def steps(self) -> NDArray[np.int64]:
        """(n,) how many decisions of the same trajectory came before."""
        return np.arange(len(self.trajectory)) - self.starts[self.trajectory]

    @property
    def last(self) -> NDArray[np.bool_]:
        """(n,) whether a decision is its trajectory's last."""
        return np.asarray(np.diff(self.trajectory, append=-1) != 0)
