"""The interactions of open decisions, and those that came before theirs, as columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.join.decisions import NONE
from shared.core.join.facts import INTERACTIONS, Bools, Interactions, Ints, Output, Refusal
from shared.core.join.storage import Fifo, Pool, objects, prefix

REASONS = ("no-decision", "application-mismatch", "too-early", "too-late")
"""Why an interaction ends without having counted; a row's column `reason` is an index here."""


class KnownInteractions:
    """Rows of interactions, chained in log order behind their decision, or waiting for it."""

    def __init__(self) -> None:
        self._rows = Pool(
            raw=object, key=object, slot=np.int64, application=np.int64, time=np.int64, offset=np.int64,
            next=np.int64, tail=np.int64, reason=np.int64, activation=bool, live=bool,
        )  # fmt: skip
        self._seen: dict[str, int] = {}
        self._waiting: dict[str, int] = {}  # decision → first row of the chain that waits for it
        self._arrivals = Fifo(2)
        self._orphans = Fifo(2)
        self.bytes = 0

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._rows[column]

    @property
    def waiting(self) -> int:
        """How many decisions are waited for."""
        return len(self._waiting)

    def take(self, batch: Interactions, output: Output) -> tuple[Ints, Bools]:
        """Add interactions; copies are counted, conflicts refused. Returns a row for each interaction of the
        batch, and which of them are new: only those rows are valid."""
        rows = self._rows.take(len(batch.ids))
        keys = [f"{d}\0{i}" for d, i in zip(batch.decision_ids, batch.ids, strict=True)]
        place = self._seen.setdefault
        first = np.array([place(k, n) for k, n in zip(keys, rows.tolist(), strict=True)]) == rows
        if not first.all():
            self._refuse_copies(batch, keys, rows, ~first, output)
            self._rows.release(rows[~first])
        self._fill(rows[first], batch, keys, first)
        return rows, first

    def keep(self, rows: Ints) -> None:
        """Keep rows that do not count now; `expired` gives them back in time. In log order."""
        self._orphans.push(rows, self["offset"][rows])

    def wait(self, rows: Ints, decision_ids: Sequence[str]) -> None:
        """Let kept rows be claimed by their decision."""
        place = self._waiting.setdefault
        first = np.array([place(i, n) for i, n in zip(decision_ids, rows.tolist(), strict=True)], np.int64)
        self["tail"][rows] = rows
        links, tails = self["next"], self["tail"]
        for n in np.flatnonzero(first != rows):
            links[tails[first[n]]] = tails[first[n]] = rows[n]

    def claim(self, decision_ids: Sequence[str], slots: Ints) -> tuple[Ints, Ints]:
        """Take out the rows that waited for these decisions: (rows, slot of each)."""
        pop = self._waiting.pop
        heads = np.array([pop(i, NONE) for i in decision_ids], np.int64)
        found = np.flatnonzero(heads != NONE)
        rows, owner = self.chains(heads[found])
        return rows, slots[found[owner]]

    def expire(self, limit: int, output: Output) -> None:
        """Refuse the kept rows that were appended before `limit` (ms) and have not counted.

        Refusing by the clock alone, not when an interaction is found not to count, makes what is refused a
        function of the log and the clock: a restart, which knows decisions that were forgotten before,
        neither repeats nor omits a refusal.
        """
        rows, offsets = self._orphans[0], self._orphans[1]
        settled = ~self._same(rows, offsets) | (self["slot"][rows] != NONE)
        rows, offsets = self._orphans.pop(prefix(settled | (self["time"][rows] < limit)))
        left = rows[self._same(rows, offsets) & (self["slot"][rows] == NONE)]
        for row in left.tolist():
            raw, key, offset, reason = (self[name][row] for name in ("raw", "key", "offset", "reason"))
            decision_id = key.split("\0", 1)[0]
            if reason == 0:
                self._let_go(row, decision_id)
            output.refusals.append(Refusal(INTERACTIONS, raw, decision_id, int(offset), REASONS[reason]))
        self.drop(left)

    def drop(self, rows: Ints) -> None:
        """Forget rows."""
        self.bytes -= sum(map(len, self["raw"][rows].tolist()))
        for key in self["key"][rows]:
            del self._seen[key]
        self["live"][rows] = False
        self._rows.release(rows)

    def chains(self, heads: Ints) -> tuple[Ints, Ints]:
        """All rows of the chains, sorted by chain and then log order, and for each its chain's position."""
        rows, owner = heads, np.arange(len(heads))
        found_rows, found_owner = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        while len(rows):
            present = rows != NONE
            rows, owner = rows[present], owner[present]
            found_rows.append(rows)
            found_owner.append(owner)
            rows = self["next"][rows]
        all_rows, all_owner = np.concatenate(found_rows), np.concatenate(found_owner)
        order = np.argsort(all_owner, kind="stable")
        sorted_rows: Ints = all_rows[order]
        return sorted_rows, all_owner[order]

    def oldest(self) -> int | None:
        """The live row of the lowest offset."""
        rows, offsets = self._arrivals[0], self._arrivals[1]
        self._arrivals.pop(prefix(~self._same(rows, offsets)))
        return int(self._arrivals[0][0]) if len(self._arrivals) else None

    def _let_go(self, first: int, decision_id: str) -> None:
        """Take the first row, which is the oldest, from the chain that waits for a decision."""
        following = int(self["next"][first])
        if following == NONE:
            del self._waiting[decision_id]
        else:
            self._waiting[decision_id] = following
            self["tail"][following] = self["tail"][first]

    def _same(self, rows: Ints, offsets: Ints) -> Bools:
        """Whether the rows still hold the interactions that they held when they were queued."""
        same: Bools = self["live"][rows] & (self["offset"][rows] == offsets)
        return same

    def _fill(self, rows: Ints, batch: Interactions, keys: list[str], chosen: Bools) -> None:
        columns = self._rows
        columns["raw"][rows] = objects(batch.raws)[chosen]
        columns["key"][rows] = objects(keys)[chosen]
        columns["slot"][rows] = columns["next"][rows] = NONE
        columns["reason"][rows] = 0
        columns["application"][rows] = batch.applications[chosen]
        columns["activation"][rows] = batch.activations[chosen]
        columns["time"][rows] = batch.times[chosen]
        columns["offset"][rows] = batch.offsets[chosen]
        columns["live"][rows] = True
        self._arrivals.push(rows, batch.offsets[chosen])
        self.bytes += sum(map(len, columns["raw"][rows].tolist()))

    def _refuse_copies(
        self, batch: Interactions, keys: list[str], rows: Ints, copies: Bools, output: Output
    ) -> None:
        here = dict(zip(rows.tolist(), batch.raws, strict=True))
        for n in np.flatnonzero(copies):
            original = self._seen[keys[n]]
            if here.get(original, self["raw"][original]) == batch.raws[n]:
                output.duplicates[INTERACTIONS] += 1
            else:
                key, offset = batch.decision_ids[n], int(batch.offsets[n])
                output.refusals.append(
                    Refusal(INTERACTIONS, batch.raws[n], key, offset, "interaction-conflict")
                )
