"""Examples as columns, in the order of the log: what a learner buffers, ships as deltas and learns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

COLUMNS = ("contexts", "actions", "rewards", "fresh", "times")


@dataclass(frozen=True, eq=False)
class Rows:
    """n reward records."""

    contexts: np.ndarray
    """(n, d) float32: raw contexts, followed by the chosen action's features where actions bring some."""
    actions: np.ndarray
    """(n,) int32: index of the chosen action."""
    rewards: np.ndarray
    """(n,) float64: reward minus the previous revision's."""
    fresh: np.ndarray
    """(n,) uint8: 1 for revision 0, 0 for a correction."""
    times: np.ndarray
    """(n,) int64, ms: the decision's time, the same in every revision, so that corrections are exact."""

    @classmethod
    def of(
        cls,
        contexts: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        fresh: np.ndarray,
        times: np.ndarray,
    ) -> Self:
        """Return rows with copies of these columns. Raises ValueError if they disagree in length."""
        columns = (
            np.array(contexts, np.float32, ndmin=2),
            np.array(actions, np.int32),
            np.array(rewards, np.float64),
            np.array(fresh, np.uint8),
            np.array(times, np.int64),
        )
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"columns differ in length: {[len(column) for column in columns]}")
        return cls(*columns)

    @classmethod
    def concat(cls, parts: Iterable["Rows"]) -> Self:
        """Return all rows of one part or more, in order."""
        parts = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))

    @classmethod
    def empty(cls, width: int) -> Self:
        """Return no rows, of contexts `width` wide."""
        none = np.empty(0)
        return cls.of(none.reshape(0, width), none, none, none, none)

    def __len__(self) -> int:
        return len(self.actions)

    def __getitem__(self, index: slice | np.ndarray) -> "Rows":
        return Rows(*(getattr(self, name)[index] for name in COLUMNS))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the columns by name."""
        return {name: getattr(self, name) for name in COLUMNS}
