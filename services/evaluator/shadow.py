"""One candidate's statistics as decisions flow. A pure function of the rewards' log: no clock, no Kafka."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from services.evaluator.decisions import wait_ms
from services.evaluator.logs import components, subjects
from services.evaluator.sums import Sums, unit_of
from services.evaluator.weighing import Weighed, Weigher
from shared.applications.contract import Application
from shared.core.arrays import Floats
from shared.wire.training import Candidate

BUCKETS = 4
"""Parts of the wait after which decisions are counted: what is not counted yet is held by time, in sums."""
LATE_MS = 60_000
"""How long the components of a decision are remembered after its last correction is due."""

MISSING = "missing-metric"
Values = tuple[float, ...]


def begins(candidate: Candidate) -> int:
    """The time (milliseconds) from which decisions are new to a candidate: when its training began."""
    return candidate.started_at or candidate.at


@dataclass(eq=False)
class Shadow:
    """What a candidate would have earned on decisions made since it exists.

    `next` is, of each partition of rewards, the offset that is not counted yet; a record below it counts
    nothing, so that the log may be read again from anywhere.
    """

    candidate: Candidate
    weigher: Weigher
    metrics: tuple[str, ...]
    """Guarded ones beside the reward."""
    first: dict[int, int]
    next: dict[int, int]
    total: Sums
    open: dict[tuple[int, int], Sums] = field(default_factory=dict)
    """(partition, part of time) → decisions whose windows may be open."""
    reached: dict[int, int] = field(default_factory=dict)
    """Partition → the newest reward's time, milliseconds."""
    left_out: Counter[str] = field(default_factory=Counter)
    parts: dict[str, Values] = field(default_factory=dict)
    """Decision → its components, while corrections may come: only what was can be taken off."""
    due: deque[tuple[int, str]] = field(default_factory=deque)
    """(time, decision) of `parts`, in the order of the log."""

    @classmethod
    def begin(
        cls, candidate: Candidate, weigher: Weigher, metrics: Sequence[str], first: Mapping[int, int]
    ) -> "Shadow":
        """Nothing counted yet; `first` are the offsets to read from."""
        begun = cls(candidate, weigher, tuple(metrics), dict(first), dict(first), Sums.empty(0))
        return replace(begun, total=begun.nothing())

    @property
    def modelled(self) -> int:
        """Number of the metric that is the reward less what a model expected of the logged action; the next
        one is what it expected of the candidate's. Only where the weigher is `modelled`."""
        return 1 + len(self.metrics)

    def nothing(self) -> Sums:
        """Sums of no decisions."""
        return Sums.empty(1 + len(self.metrics) + 2 * self.weigher.traits.modelled, self.weigher.traits.ways)

    def take(self, frame: pl.DataFrame, partition: int, end: int, application: Application) -> None:
        """Count the application's rewards among a partition's next records, which end before offset `end`.

        Raises Unusable.
        """
        if end <= self.next[partition]:
            return
        rows = frame.filter(pl.col("offset") >= self.next[partition])
        self.next[partition] = end
        if not rows.height:
            return
        newest = int(rows["reward_time"].max())  # type: ignore[arg-type]
        self.reached[partition] = max(self.reached.get(partition, 0), newest)
        rows = rows.filter(
            (pl.col("decision_time") >= begins(self.candidate)) & pl.col("previous_reward").is_finite()
        )
        if rows.height:
            found = self.weigher.weigh(rows)
            for reason in found.left_out:
                self.left_out[reason.name] += int(reason.value or 0)
            self._count(found, partition, application)
        self._close(partition, application)

    def _count(self, found: Weighed, partition: int, application: Application) -> None:
        frame, wait = found.frame, wait_ms(application.settings)
        step = max(1, wait // BUCKETS)
        bucket = frame["decision_time"].to_numpy() // step
        closed = (bucket + 1) * step + wait <= self.reached[partition] if wait else np.ones(len(bucket), bool)
        changes = self._changes(found)
        unit, first = unit_of(subjects(frame)), (frame["revision"] == 0).to_numpy()

        def put(sums: Sums, rows: NDArray[np.bool_]) -> None:
            if (new := rows & first).any():
                moments = None if found.moments is None else found.moments[:, new]
                sums.add(unit[new], found.weights[:, new], [values[new] for values in changes], moments)
            if (again := rows & ~first).any():
                sums.change(unit[again], found.weights[:, again], [values[again] for values in changes])

        put(self.total, closed)
        for number in np.unique(bucket[~closed]).tolist():
            held = self.open.setdefault((partition, number), self.nothing())
            put(held, (bucket == number) & ~closed)

    def _close(self, partition: int, application: Application) -> None:
        """Count what can no longer get a first reward, forget what can no longer be corrected."""
        wait, reward = wait_ms(application.settings), application.settings.reward
        step, reached = max(1, wait // BUCKETS), self.reached[partition]
        for key in [key for key in self.open if key[0] == partition]:
            if (key[1] + 1) * step + wait <= reached:
                self.total.merge(self.open.pop(key))
        kept = round((reward.wait + reward.hold).total_seconds() * 1000) + LATE_MS
        while self.due and self.due[0][0] + kept < max(self.reached.values()):
            self.parts.pop(self.due.popleft()[1], None)

    def _changes(self, found: Weighed) -> list[Floats]:
        """What each row changes: the metrics themselves in a first revision, differences in a correction."""
        frame = found.frame
        revision = frame["revision"].to_numpy()
        change = frame["reward"].to_numpy() - np.where(revision > 0, frame["previous_reward"].to_numpy(), 0.0)
        changes = [change, *self._guarded(frame, revision)]
        if found.predicted is not None:
            logged, target = (
                np.where(revision > 0, 0.0, each) for each in (found.predicted.logged, found.predicted.target)
            )
            changes += [change - logged, target]
        return changes

    def _guarded(self, frame: pl.DataFrame, revision: NDArray[np.int32]) -> Floats:
        """(metrics, n)."""
        if not self.metrics:
            return np.zeros((0, frame.height))
        found = components(frame, self.metrics)
        matrix = np.stack([found[name] for name in self.metrics], axis=1)
        absent = ~np.isfinite(matrix)
        self.left_out[MISSING] += int(absent.any(axis=1).sum())
        matrix[absent] = 0.0
        return self._component_changes(frame, matrix, revision).T

    def _component_changes(self, frame: pl.DataFrame, matrix: Floats, revision: NDArray[np.int32]) -> Floats:
        changes = matrix.copy()
        ids, times = frame["decision_id"].to_list(), frame["decision_time"].to_list()
        for row, (decision_id, time) in enumerate(zip(ids, times, strict=True)):
            before = self.parts.get(decision_id)
            if revision[row] > 0:
                # Of a decision that is forgotten, or that was before the candidate, nothing can be taken off.
                changes[row] = 0.0 if before is None else matrix[row] - np.array(before)
                self.left_out["forgotten-components"] += before is None
            else:
                self.due.append((time, decision_id))
            if revision[row] == 0 or before is not None:
                self.parts[decision_id] = tuple(matrix[row].tolist())
        return changes
