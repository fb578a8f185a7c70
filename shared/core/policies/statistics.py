"""Sufficient statistics of disjoint ridge regressions: mergeable, exactly correctable, forgetting."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from shared.core.packing import pack, unpack

SMALL = 64
"""Features up to which the products of all actions are worth being made at once."""
SPARE = 8
"""Rows of padding that this may cost for each row learnt."""


class Statistics:
    """Per action a: curvature sum w x x', moment sum w r x, weighted count sum w, and rows learnt.

    With a half-life h (ms; 0 never forgets) an example of time t weighs 2**-((T - t) / h) at reference time
    T. Stored weights refer to the start of an epoch, a whole number of half-lives, so moving to a later
    epoch multiplies by a power of two, which is exact: the sums are those of the multiset of examples,
    whatever their order. With one constant feature they are Beta counts.
    """

    def __init__(self, actions: int, size: int, half_life_ms: int = 0) -> None:
        self.half_life_ms = half_life_ms
        self.curvature = np.zeros((actions, size, size))
        self.moment = np.zeros((actions, size))
        self.count = np.zeros(actions)
        self.rows = np.zeros(actions, np.int64)
        self.latest_ms = 0
        self.since_ms: np.ndarray | None = None
        """(actions,): decisions made before this time do not count; None where no action was reset."""
        self._epoch = 0

    @property
    def actions(self) -> int:
        """Number of actions."""
        return len(self.count)

    @property
    def size(self) -> int:
        """Number of features."""
        return self.moment.shape[1]

    def add(
        self,
        features: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        fresh: np.ndarray,
        times: np.ndarray,
    ) -> None:
        """Learn n examples: features (n, size) float64, the other columns as in `Rows`.

        A fresh row adds x x', r x and one to the count; a correction adds only its difference of reward. A
        row of a decision from before its action was reset is counted among the rows alone.
        """
        if not len(actions):
            return
        self._advance(int(times.max()))
        roots = self._root_weights(times)
        if roots is not None:
            features = features * roots[:, None]
            rewards = rewards * roots
        new = fresh != 0
        self.rows += np.bincount(actions, minlength=self.actions)
        weights = new if roots is None else new * roots**2
        if self.since_ms is not None:
            # Zeros instead of fewer rows: sums are the same to the bit whenever the reset came to be known.
            counts = times >= self.since_ms[actions]
            features, rewards, weights = features * counts[:, None], rewards * counts, weights * counts
        self.count += np.bincount(actions, weights, minlength=self.actions)
        order = np.argsort(actions, kind="stable")
        present, starts = np.unique(actions[order], return_index=True)
        features, new = features[order], new[order]
        self.moment[present] += np.add.reduceat(features * rewards[order, None], starts, axis=0)
        if not new.all():
            features = features[new]
            starts = np.concatenate([[0], np.cumsum(new)])[starts]
        ends = np.append(starts[1:], len(features))
        most = int((ends - starts).max())
        if self.size <= SMALL and most * self.actions <= SPARE * len(actions):
            # One product of many: a thread that learns gives the interpreter away once, not for each action.
            padded = np.zeros((self.actions, most, self.size))
            places = np.arange(len(features)) - np.repeat(starts, ends - starts)
            padded[np.repeat(present, ends - starts), places] = features
            self.curvature += padded.transpose(0, 2, 1) @ padded
            return
        for action, start, end in zip(present.tolist(), starts.tolist(), ends.tolist(), strict=True):
            x = features[start:end]
            # The product of a matrix with its own transpose is one symmetric update (BLAS syrk).
            self.curvature[action] += x.T @ x

    def reset(self, action: int, since_ms: int) -> None:
        """Forget an action's sums, and count none of its decisions made before `since_ms`.

        It counts as a row, so that statistics with and without it are told apart.
        """
        since = np.zeros(self.actions, np.int64) if self.since_ms is None else self.since_ms.copy()
        since[action] = max(int(since[action]), since_ms)
        self.since_ms = since
        for sums in (self.curvature, self.moment, self.count):
            sums[action] = 0.0
        self.rows[action] += 1

    def merge(self, other: "Statistics") -> None:
        """Add another partition's statistics, both discounted to the later epoch."""
        if (self.actions, self.size, self.half_life_ms) != (other.actions, other.size, other.half_life_ms):
            raise ValueError("statistics of another shape or half-life cannot be merged")
        self._advance(other.latest_ms)
        factor = 2.0 ** (other._epoch - self._epoch)
        self.curvature += factor * other.curvature
        self.moment += factor * other.moment
        self.count += factor * other.count
        self.rows += other.rows

    def factor(self, reference_64ths: int) -> float:
        """Return what the stored sums are multiplied by at a reference time, in 64ths of a half-life."""
        return 2.0 ** ((64 * self._epoch - reference_64ths) / 64) if self.half_life_ms else 1.0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything but the header, the curvature as packed upper triangles (actions, s(s+1)/2)."""
        upper = np.triu_indices(self.size)
        found = {
            "curvature": self.curvature[:, upper[0], upper[1]],
            "moment": self.moment,
            "count": self.count,
            "rows": self.rows,
        }
        return found if self.since_ms is None else found | {"since_ms": self.since_ms}

    def header(self) -> dict[str, Any]:
        """Return what `restore` needs beside the arrays."""
        return {"half_life_ms": self.half_life_ms, "latest_ms": self.latest_ms, "epoch": self._epoch}

    @classmethod
    def restore(cls, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Return statistics equal to the bit to those that gave this header and these arrays."""
        actions, size = arrays["moment"].shape
        statistics = cls(actions, size, int(header["half_life_ms"]))
        upper = np.triu_indices(size)
        statistics.curvature[:, upper[0], upper[1]] = arrays["curvature"]
        statistics.curvature[:, upper[1], upper[0]] = arrays["curvature"]
        statistics.moment[:] = arrays["moment"]
        statistics.count[:] = arrays["count"]
        statistics.rows[:] = arrays["rows"]
        if "since_ms" in arrays:
            statistics.since_ms = np.array(arrays["since_ms"], np.int64)
        statistics.latest_ms, statistics._epoch = int(header["latest_ms"]), int(header["epoch"])
        return statistics

    def to_bytes(self) -> bytes:
        """Return header and arrays as one string of bytes."""
        return pack(self.header(), self.arrays())

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Restore. Raises ValueError for other bytes."""
        return cls.restore(*unpack(raw))

    def _advance(self, time_ms: int) -> None:
        self.latest_ms = max(self.latest_ms, time_ms)
        if not self.half_life_ms:
            return
        epoch = self.latest_ms // self.half_life_ms
        if epoch > self._epoch:
            factor = 2.0 ** (self._epoch - epoch)
            for sums in (self.curvature, self.moment, self.count):
                sums *= factor
            self._epoch = epoch

    def _root_weights(self, times: np.ndarray) -> np.ndarray | None:
        if not self.half_life_ms:
            return None
        ages = self._epoch * self.half_life_ms - times
        return np.asarray(np.exp2(ages / (-2.0 * self.half_life_ms)))


def merged(parts: Iterable[Statistics]) -> Statistics:
    """Return the sum of one part or more; the parts stay as they are."""
    first, *others = parts
    total = Statistics(first.actions, first.size, first.half_life_ms)
    for part in (first, *others):
        total.merge(part)
    return total
