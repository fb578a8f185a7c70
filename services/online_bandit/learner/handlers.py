"""Reward records to what learners learn: pure functions over batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.applications.contract import Application
from shared.core.policies.rows import Rows
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema
from shared.wire.views import view

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

COLUMNS = (
    *("decision.application", "decision.action", "decision.context", "decision_time"),
    *("reward", "previous_reward", "revision"),
)
COLUMNS_OF_ACTIONS = ("decision.actions", "decision.action_features")
"""Needed only where actions bring features."""

LARGEST_REWARD = 1e15
"""Beyond this, sums of float64 lose whole units; one such reward would wipe out all others."""
CLOCK_SKEW_MS = 60_000
"""How far apart the clocks of two brokers may be. A decision is not younger than its reward: forgetting
goes by the latest decision, so one from the far future would discount everything else to nothing."""


class Records(Protocol):
    """Raw records of one partition of the rewards, in log order; `timestamps` are append times in ms."""

    @property
    def keys(self) -> Sequence[bytes | None]: ...

    @property
    def values(self) -> Sequence[bytes | None]: ...

    @property
    def offsets(self) -> Ints: ...

    @property
    def timestamps(self) -> Ints: ...

    @property
    def next_offset(self) -> int:
        """Where reading goes on."""


@dataclass
class Lessons:
    """What a batch teaches."""

    rows: dict[str, tuple[Rows, Ints]] = field(default_factory=dict)
    """Application → its rows, and the offset of each."""
    dead: list[tuple[int, str, str]] = field(default_factory=list)
    """Index, reason slug and message of each record that nothing can be learnt from."""
    passed_over: int = 0
    """Records of actions that are vectors, which trained policies alone choose."""


class Reader:
    """Reads rewards for a fixed set of applications."""

    def __init__(self, applications: Mapping[str, Application]) -> None:
        self._applications = list(applications.values())
        self._names = pl.Enum(list(applications))
        self._actions = [pl.Enum(application.actions) for application in self._applications]
        bringing = any(a.action_width for a in self._applications)
        self._schema = view(schema("rewards"), COLUMNS + (COLUMNS_OF_ACTIONS if bringing else ()))

    def read(self, records: Records) -> Lessons:
        """Sort a batch by application; a record that cannot be learnt is told apart and stops nothing."""
        columns = decode_columns(self._schema, records.values)
        frame, rows = columns.frame, columns.rows
        lessons = Lessons(dead=[(row, error.reason, str(error)) for row, error in columns.bad])
        codes = _indexes(frame["decision.application"], self._names)
        rewards = (frame["reward"] - frame["previous_reward"]).to_numpy()
        times = frame["decision_time"].to_numpy()
        sift = _Sift(lessons, rows)
        sift.out(codes < 0, "unknown-application", "no application of this name is loaded here")
        sift.out(~np.isfinite(rewards), "reward-not-finite", "the reward, or the one before, is not finite")
        large = np.abs(rewards) > LARGEST_REWARD
        sift.out(large, "reward-too-large", f"the reward's difference is beyond {LARGEST_REWARD:g}")
        future = (times < 0) | (times > records.timestamps[rows] + CLOCK_SKEW_MS)
        sift.out(future, "decision-time", "the decision's time is after the reward's, or below 0")
        fresh = frame["revision"].to_numpy() == 0
        for code in np.unique(codes[sift.good]).tolist():
            contexts, actions = self._examples(code, frame, codes == code, sift)
            mine = np.flatnonzero(sift.good & (codes == code))
            if len(mine):
                found = Rows.of(contexts, actions, *(column[mine] for column in (rewards, fresh, times)))
                lessons.rows[self._applications[code].name] = found, records.offsets[rows[mine]]
        lessons.dead.sort()
        return lessons

    def _examples(
        self, code: int, frame: pl.DataFrame, own: Bools, sift: "_Sift"
    ) -> tuple[NDArray[np.float32], Ints]:
        """Contexts and actions of the application's good records; sifts out those that do not fit it."""
        application = self._applications[code]
        width = application.context_width
        lengths = frame["decision.context"].list.len().to_numpy()
        sift.out(own & (lengths != width), "context-width", f"{application.name} has {width} features")
        if application.action_width:
            features = self._features(code, frame, own, sift)
            actions = np.zeros(len(frame), np.int64)
        else:
            features = None
            actions = _indexes(frame["decision.action"], self._actions[code])
            if (vector := application.vector_action) is not None:
                sift.pass_over(own & (frame["decision.action"] == vector.name).to_numpy())
            sift.out(own & (actions < 0), "unknown-action", f"{application.name} has no action of this name")
        mine = own & sift.good
        contexts = _numbers(_chosen(frame["decision.context"], mine)).reshape(int(mine.sum()), width)
        if features is not None:
            contexts = np.concatenate([contexts, features[mine]], axis=1)
        finite = np.isfinite(contexts).all(axis=1)
        if not finite.all():
            wrong = np.zeros(len(frame), bool)
            wrong[np.flatnonzero(mine)[~finite]] = True
            sift.out(wrong, "context-not-finite", "the context has a number that is not finite")
            mine, contexts = mine & ~wrong, contexts[finite]
        return contexts, actions[mine]

    def _features(self, code: int, frame: pl.DataFrame, own: Bools, sift: "_Sift") -> NDArray[np.float32]:
        """The chosen action's features, one row for each record of the frame (zeros where there are none)."""
        application, width = self._applications[code], self._applications[code].action_width
        offered, numbers = frame["decision.actions"], frame["decision.action_features"]
        counts, lengths = (column.list.len().to_numpy().astype(np.int64) for column in (offered, numbers))
        full = own & (counts == 0)  # an empty list stands for the application's full one
        place = np.where(
            full, _indexes(frame["decision.action"], self._actions[code]), _places(frame, counts)
        )
        sift.out(own & (place < 0), "unknown-action", "the action is not among those offered")
        wanted = np.where(full, len(application.actions), counts) * width
        message = f"not {width} numbers for each action offered"
        sift.out(own & (lengths != wanted), "action-features-width", message)
        mine = np.flatnonzero(own & sift.good)
        starts = (np.cumsum(lengths) - lengths)[mine] + place[mine] * width
        features = np.zeros((len(frame), width), np.float32)
        features[mine] = _numbers(numbers)[starts[:, None] + np.arange(width)]
        return features


class _Sift:
    """Which rows of a frame are good so far."""

    def __init__(self, lessons: Lessons, rows: Ints) -> None:
        self.good: Bools = np.ones(len(rows), bool)
        self._lessons, self._dead, self._rows = lessons, lessons.dead, rows

    def pass_over(self, foreign: Bools) -> None:
        """Leave out what is sound, and nothing to learn from here."""
        self._lessons.passed_over += int((foreign & self.good).sum())
        self.good[foreign] = False

    def out(self, wrong: Bools, reason: str, message: str) -> None:
        """Sift out what is wrong and was good until now."""
        found = np.flatnonzero(wrong & self.good)
        self._dead += [(row, reason, message) for row in self._rows[found].tolist()]
        self.good[found] = False


def _indexes(names: pl.Series, known: pl.Enum) -> Ints:
    """Each name's number among the known ones, -1 for the others."""
    numbers = names.cast(known, strict=False).to_physical()
    found: Ints = np.nan_to_num(numbers.to_numpy(), nan=-1).astype(np.int64)  # nulls make it floats
    return found


def _places(frame: pl.DataFrame, counts: Ints) -> Ints:
    """Where each row's action stands in its own list of actions, -1 where it does not."""
    owner = np.repeat(np.arange(len(frame)), counts)
    offered = frame["decision.actions"].explode(empty_as_null=False)
    equal = np.flatnonzero((offered == frame["decision.action"].gather(owner)).to_numpy())
    rows, first = np.unique(owner[equal], return_index=True)
    places = np.full(len(frame), -1, np.int64)
    places[rows] = equal[first] - (np.cumsum(counts) - counts)[rows]
    return places


def _chosen(column: pl.Series, mine: Bools) -> pl.Series:
    return column if mine.all() else column.filter(pl.Series(mine))


def _numbers(lists: pl.Series) -> NDArray[np.float32]:
    """All numbers of a column of lists, in a row."""
    return lists.explode(empty_as_null=False).to_numpy().astype(np.float32, copy=False)
