"""The decisions that are open, or closed and held for corrections, as columns."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.join.facts import DECISIONS, Bools, Decisions, Ints, Output, Refusal, Window
from shared.core.join.storage import Fifo, Pool, objects, prefix

NONE, RELEASED = -1, -2
"""What `find` says of a decision that is unknown, or whose window and hold are over."""
_CHECKPOINT_EVERY = 256
"""Decisions between two remembered (time, offset) pairs; a restart re-reads at most so many too many."""


@dataclass(frozen=True)
class Emitted:
    """The newest reward record of a decision, as read back from the log."""

    reward: float
    revision: int
    is_default: bool
    decision_offset: int


class OpenDecisions:
    """Slots of decisions with the state of their rewards, in the order of their closing."""

    def __init__(self, windows: Sequence[Window], copies: int) -> None:
        self._copies = copies
        self._wait = np.array([w.wait for w in windows], np.int64)
        self._span = np.array([w.span for w in windows], np.int64)
        self._slots = Pool(
            id=object, raw=object, application=np.int64, time=np.int64, offset=np.int64, head=np.int64,
            tail=np.int64, count=np.int64, last_time=np.int64, activated=bool, closed=bool, emitted=bool,
            default=bool, broken=bool, revision=np.int64, reward=np.float64,
        )  # fmt: skip
        self._index: dict[str, int] = {}
        self._released: list[dict[str, tuple[int, int]]] = [{} for _ in windows]
        self._open = [Fifo(1) for _ in windows]
        self._held = [Fifo(1) for _ in windows]
        self._checkpoints = Fifo(2)
        self._since_checkpoint = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._slots.used

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._slots[column]

    def find(self, decision_ids: Sequence[str]) -> Ints:
        """The slot of each decision, NONE or RELEASED."""
        find = self._index.get
        return np.array([find(i, NONE) for i in decision_ids], np.int64)

    def take(self, batch: Decisions, output: Output) -> Ints:
        """Add decisions; copies are counted, conflicts refused. Returns the new slots."""
        slots = self._slots.take(len(batch.ids))
        place = self._index.setdefault
        first = np.array([place(i, n) for i, n in zip(batch.ids, slots.tolist(), strict=True)]) == slots
        if not first.all():
            self._refuse_repeated(batch, ~first, output)
            self._slots.release(slots[~first])
            slots = slots[first]
        self._fill(slots, batch, first)
        self._checkpoint(batch)
        applications = self["application"][slots]
        for application in np.unique(applications):
            self._open[application].push(slots[applications == application])
        return slots

    def close(self, clock: int) -> list[Ints]:
        """Close the windows that ended before the clock; returns their slots."""
        closed = []
        for application, fifo in enumerate(self._open):
            if len(fifo):
                ends = self["time"][fifo[0]] + self._wait[application]
                slots = fifo.pop(prefix(ends < clock))[0]
                self["closed"][slots] = True
                self._held[application].push(slots)
                closed.append(slots)
        return closed

    def over(self, clock: int) -> Ints:
        """Take out the slots for which nothing can count any more; the caller gives them to `release`."""
        gone = [np.empty(0, np.int64)]
        for application, fifo in enumerate(self._held):
            if len(fifo):
                ends = self["time"][fifo[0]] + self._span[application]
                gone.append(fifo.pop(prefix(ends < clock))[0])
        return np.concatenate(gone)

    def release(self, slots: Ints, decisions_clock: int) -> None:
        """Forget decisions, but for their ids: until the decisions' clock has passed their window too, a
        copy of them may still be read."""
        applications = self["application"][slots]
        for application in np.unique(applications):
            self._remember(self._released[application], slots[applications == application])
        self.bytes -= sum(map(len, self["raw"][slots].tolist()))
        self._slots.release(slots)
        for released in self._released:
            past = itertools.takewhile(lambda item: item[1][0] < decisions_clock, released.items())
            for decision_id, _ in list(past):
                del released[decision_id], self._index[decision_id]

    def restore(self, decision_id: str, last: Emitted) -> None:
        """Take back what was emitted for a decision before a restart, if it is still known."""
        slot = self._index.get(decision_id, NONE)
        if slot < 0:
            return
        self["broken"][slot] = self["offset"][slot] != last.decision_offset  # a copy of the one that counted
        self["emitted"][slot] = True
        self["reward"][slot] = last.reward
        self["revision"][slot] = last.revision + 1
        self["default"][slot] = last.is_default

    def watermark(self, next_offset: int, oldest: int | None) -> int:
        """The lowest offset that a restart needs: of every decision still known, and of every decision that
        an interaction appended at `oldest` (ms) or later may belong to."""
        lowest = next_offset
        for fifo in (*self._open, *self._held):
            if len(fifo):
                lowest = min(lowest, int(self["offset"][fifo[0][0]]))
        for released in self._released:
            lowest = min([lowest, *(offset for _, offset in itertools.islice(released.values(), 1))])
        if oldest is not None:
            before = int(np.count_nonzero(self._checkpoints[0] < oldest - int(self._span.max(initial=0))))
            self._checkpoints.pop(max(0, before - 1))
            lowest = min([lowest, *self._checkpoints[1][:1].tolist()])
        return lowest

    def _fill(self, slots: Ints, batch: Decisions, chosen: Bools) -> None:
        columns = self._slots
        columns["id"][slots] = objects(batch.ids)[chosen]
        columns["raw"][slots] = objects(batch.raws)[chosen]
        columns["application"][slots] = batch.applications[chosen]
        columns["time"][slots] = columns["last_time"][slots] = batch.times[chosen]
        columns["offset"][slots] = batch.offsets[chosen]
        columns["activated"][slots] = ~batch.deferred[chosen]
        columns["head"][slots] = columns["tail"][slots] = NONE
        for name in ("count", "closed", "emitted", "default", "broken", "revision", "reward"):
            columns[name][slots] = 0
        self.bytes += sum(map(len, columns["raw"][slots].tolist()))

    def _refuse_repeated(self, batch: Decisions, repeated: Bools, output: Output) -> None:
        for n in np.flatnonzero(repeated):
            slot = self._index[batch.ids[n]]
            known = batch.raws[n] if slot == RELEASED else self["raw"][slot]
            if known is None:
                known = next(r for i, r in zip(batch.ids, batch.raws, strict=True) if i == batch.ids[n])
            if known == batch.raws[n]:
                output.duplicates[DECISIONS] += 1
            else:
                offset = int(batch.offsets[n])
                output.refusals.append(
                    Refusal(DECISIONS, batch.raws[n], batch.ids[n], offset, "decision-conflict")
                )

    def _checkpoint(self, batch: Decisions) -> None:
        self._since_checkpoint += len(batch.ids)
        if self._since_checkpoint >= _CHECKPOINT_EVERY or not len(self._checkpoints):
            self._checkpoints.push(batch.times[:1], batch.offsets[:1])
            self._since_checkpoint = 0

    def _remember(self, released: dict[str, tuple[int, int]], slots: Ints) -> None:
        ends = (self["time"][slots] + self._span[self["application"][slots]] + self._copies).tolist()
        ids, offsets = self["id"][slots].tolist(), self["offset"][slots].tolist()
        released.update(zip(ids, zip(ends, offsets, strict=True), strict=True))
        self._index.update(dict.fromkeys(ids, RELEASED))
