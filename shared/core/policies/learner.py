"""The state that learns one partition of the rewards, and the bytes it travels as."""

from typing import Any, Self

import numpy as np

from shared.core.features.maps import FeatureMap, feature_count, feature_map
from shared.core.features.scaling import Scaling
from shared.core.packing import pack, unpack
from shared.core.policies.configuration import PolicyConfiguration
from shared.core.policies.resets import Reset, latest_request
from shared.core.policies.rows import COLUMNS, Rows
from shared.core.policies.statistics import Statistics, merged

BLOCK = 256
"""Rows folded into the statistics at once. Blocks are counted from the partition's first row, so the sums
are the same to the bit however the log was cut into batches."""


class DeltaGap(ValueError):
    """A delta starts behind the state it is applied to: a snapshot is needed first."""


class Learner:
    """Statistics of the full blocks, and the raw rows since: those of the open block, or all of them while
    the scaling that the feature map needs is not known."""

    def __init__(
        self,
        configuration: PolicyConfiguration,
        *,
        width: int,
        actions: int = 1,
        action_width: int = 0,
        track_deltas: bool = False,
    ) -> None:
        """`width`: raw features of a context. `actions`: number of fixed actions; with `action_width` above
        zero actions bring that many features each, are not fixed, and share one regression."""
        if action_width and configuration.kind == "thompson_beta":
            raise ValueError("thompson_beta counts fixed actions; it cannot use features of actions")
        self.configuration = configuration.resolved(dynamic=action_width > 0)
        self.width, self.action_width = width, action_width
        self.actions = 1 if action_width else actions
        self.scaling: Scaling | None = None
        self.folded = Statistics(
            self.actions,
            feature_count(configuration, width, action_width),
            configuration.half_life_ms,
        )
        self.learnt = 0
        """Rows learnt, and resets: every change of what is known counts."""
        self.resets: tuple[Reset, ...] = ()
        """All that were done, in order."""
        self._open: list[Rows] = []
        self._undrained: list[Rows] | None = [] if track_deltas else None
        self._map = self._feature_map()

    @property
    def open_rows(self) -> Rows:
        """Rows that are not yet in `folded`, in order."""
        if len(self._open) != 1:
            self._open = [Rows.concat([Rows.empty(self.width + self.action_width), *self._open])]
        return self._open[0]

    @property
    def pending(self) -> int:
        """Rows that wait for the scaling; 0 once it is known."""
        return len(self.open_rows) if self._map is None else 0

    @property
    def statistics(self) -> Statistics:
        """A copy of the statistics of all rows. Raises ValueError while rows are pending."""
        if self._map is None:
            raise ValueError(f"{self.pending} rows wait for the scaling")
        return merged([self.folded, fold(self._map, self.open_rows, self.folded)])

    def learn(
        self,
        contexts: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        fresh: np.ndarray,
        times: np.ndarray,
    ) -> None:
        """Learn n reward records in log order; columns as in `Rows`.

        Where actions bring features, a row is the context followed by the chosen action's features, and
        `actions` is all zeros. Raises ValueError for a wrong width or an index out of range.
        """
        self._learn(Rows.of(contexts, actions, rewards, fresh, times))

    def reset(self, action: int, asked_ms: int) -> bool:
        """Forget what an action's decisions taught; False if this or a later request has been followed.

        Decisions made before `asked_ms` (ms since 1970), or no later than any that is known here, count no
        more, whatever is still to come of their rewards. The scaling, which is of contexts alone, stays.
        Raises ValueError for an action without statistics of its own.
        """
        if self.action_width or not 0 <= action < self.actions:
            raise ValueError(f"there is no action {action} with statistics of its own")
        if asked_ms <= latest_request(self.resets, action):
            return False
        latest = max(self.folded.latest_ms, int(self.open_rows.times.max(initial=0)))
        row = self.learnt - len(self.resets)
        self.repeat(Reset(action, asked_ms, max(asked_ms, latest + 1), row))
        return True

    def repeat(self, reset: Reset) -> None:
        """Do what another learner of the same rows has done after `reset.row` of them, or earlier.

        However early it is repeated, equal rows then give equal bytes. Deltas cannot tell of a reset: what
        was tracked for the next one is let go of, and a snapshot has to come first.
        """
        self.resets += (reset,)
        self.learnt += 1
        self.folded.reset(reset.action, reset.since_ms)
        if self._undrained:
            self._undrained = []

    def propose_scaling(self) -> Scaling | None:
        """Return the scaling fitted to the first fresh rows, once there are enough and none is set."""
        if self._map is not None:
            return None
        rows = self.open_rows
        first = np.flatnonzero(rows.fresh)[: self.configuration.scaling_rows]
        return Scaling.fit(rows.contexts[first]) if len(first) == self.configuration.scaling_rows else None

    def set_scaling(self, scaling: Scaling) -> None:
        """Freeze the scaling and fold what was pending. Raises ValueError if another one was set."""
        if self.scaling is not None:
            if self.scaling != scaling:
                raise ValueError("this learner has another scaling already")
            return
        if len(scaling.mean) != self.width + self.action_width:
            raise ValueError(
                f"scaling of {len(scaling.mean)} features; wanted {self.width + self.action_width}"
            )
        self.scaling = scaling
        self._map = self._feature_map()
        self._fold_blocks()

    def drain_delta(self, most: int | None = None) -> bytes | None:
        """Return the rows learnt since the last call, at most so many and the oldest first.

        None if there are none (or none are tracked).
        """
        if not self._undrained:
            return None
        rows = Rows.concat(self._undrained)
        self._undrained = [] if most is None or len(rows) <= most else [rows[most:]]
        return pack({"first": self.learnt - len(rows)}, rows[:most].arrays())

    def apply_delta(self, delta: bytes) -> int:
        """Learn another learner's delta and return the number of rows that were new here.

        Rows known already are skipped. Raises DeltaGap if rows before it are missing.
        """
        header, arrays = unpack(delta)
        known = self.learnt - int(header["first"])
        if known < 0:
            raise DeltaGap(f"the delta starts at row {header['first']}; {self.learnt} are known")
        rows = Rows.of(*(arrays[name] for name in COLUMNS))[known:]
        self._learn(rows)
        return len(rows)

    def to_bytes(self) -> bytes:
        """Return the complete state; a learner restored from it goes on exactly like this one."""
        header = {
            "configuration": self.configuration.to_json(),
            "width": self.width,
            "actions": self.actions,
            "action_width": self.action_width,
            "scaling": None if self.scaling is None else self.scaling.to_json(),
            "learnt": self.learnt,
            "statistics": self.folded.header(),
        }
        if self.resets:
            header["resets"] = [each.to_json() for each in self.resets]
        return pack(header, {**self.folded.arrays(), **_prefixed(self.open_rows)})

    @classmethod
    def from_bytes(cls, raw: bytes, *, track_deltas: bool = False) -> Self:
        """Restore. Raises ValueError for bytes that `to_bytes` did not write."""
        header, arrays = unpack(raw)
        learner = cls(
            PolicyConfiguration.from_json(header["configuration"]),
            width=header["width"],
            actions=header["actions"],
            action_width=header["action_width"],
            track_deltas=track_deltas,
        )
        if header["scaling"] is not None:
            learner.scaling = Scaling.from_json(header["scaling"])
            learner._map = learner._feature_map()
        learner.folded = Statistics.restore(header["statistics"], arrays)
        learner._open = [Rows.of(*(arrays[f"open_{name}"] for name in COLUMNS))]
        learner.learnt = header["learnt"]
        learner.resets = tuple(Reset.from_json(each) for each in header.get("resets", ()))
        return learner

    def _learn(self, rows: Rows) -> None:
        if not len(rows):
            return
        if rows.contexts.shape[1] != self.width + self.action_width:
            raise ValueError(
                f"contexts are {rows.contexts.shape[1]} wide; wanted {self.width + self.action_width}",
            )
        if rows.actions.min() < 0 or rows.actions.max() >= self.actions:
            raise ValueError(f"action indices must be below {self.actions}")
        self._open.append(rows)
        self.learnt += len(rows)
        if self._undrained is not None:
            self._undrained.append(rows)
        self._fold_blocks()

    def _fold_blocks(self) -> None:
        if self._map is None or sum(map(len, self._open)) < BLOCK:
            return
        rows = self.open_rows
        whole = len(rows) - len(rows) % BLOCK
        for start in range(0, whole, BLOCK):
            _add(self.folded, self._map, rows[start : start + BLOCK])
        self._open = [rows[whole:]]

    def _feature_map(self) -> FeatureMap | None:
        return feature_map(self.configuration, self.width, self.action_width, self.scaling)


def fold(mapped: FeatureMap, rows: Rows, like: Statistics) -> Statistics:
    """Return the statistics of these rows alone, of the shape of `like` and after its resets."""
    statistics = Statistics(like.actions, like.size, like.half_life_ms)
    statistics.since_ms = like.since_ms
    _add(statistics, mapped, rows)
    return statistics


def _add(statistics: Statistics, mapped: FeatureMap, rows: Rows) -> None:
    statistics.add(mapped(rows.contexts), rows.actions, rows.rewards, rows.fresh, rows.times)


def _prefixed(rows: Rows) -> dict[str, Any]:
    return {f"open_{name}": column for name, column in rows.arrays().items()}
