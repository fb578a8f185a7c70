"""Growable columns with reusable rows, and queues of integers: what the join keeps its state in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.core.join.facts import Ints

_INITIAL = 1024


class Pool:
    """Named columns of one length whose rows are taken and given back.

    A row's number stays valid until it is released; columns may be replaced when the pool grows, so
    callers fetch them by name each time.
    """

    def __init__(self, **dtypes: Any) -> None:
        self._columns = {name: np.zeros(_INITIAL, dtype) for name, dtype in dtypes.items()}
        self._free = np.arange(_INITIAL - 1, -1, -1)
        self._left = _INITIAL

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    @property
    def used(self) -> int:
        """How many rows are taken."""
        return len(self._free) - self._left

    def take(self, count: int) -> Ints:
        """Take `count` rows; their columns hold whatever was in them."""
        if count > self._left:
            self._grow(count)
        self._left -= count
        return self._free[self._left : self._left + count][::-1].copy()

    def release(self, rows: Ints) -> None:
        """Give rows back; references held in object columns are dropped."""
        for column in self._columns.values():
            if column.dtype == object:
                column[rows] = None
        self._free[self._left : self._left + len(rows)] = rows
        self._left += len(rows)

    def _grow(self, count: int) -> None:
        old = len(self._free)
        new = max(2 * old, self.used + count)
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate([column, np.zeros(new - old, column.dtype)])
        free = np.empty(new, np.int64)
        free[: new - old] = np.arange(new - 1, old - 1, -1)
        free[new - old : new - old + self._left] = self._free[: self._left]
        self._free, self._left = free, self._left + new - old


class Fifo:
    """A queue of integer tuples, one numpy column for each position."""

    def __init__(self, width: int) -> None:
        self._items = np.zeros((width, _INITIAL), np.int64)
        self._head = self._tail = 0

    def __len__(self) -> int:
        return self._tail - self._head

    def __getitem__(self, column: int) -> Ints:
        return self._items[column, self._head : self._tail]

    def push(self, *columns: Any) -> None:
        """Append entries, one sequence for each column."""
        count = len(columns[0])
        if self._tail + count > self._items.shape[1]:
            live = self._items[:, self._head : self._tail]
            room = max(_INITIAL, 2 * (live.shape[1] + count))
            items = np.zeros((len(self._items), room), np.int64)
            items[:, : live.shape[1]] = live
            self._items, self._head, self._tail = items, 0, live.shape[1]
        for row, column in zip(self._items, columns, strict=True):
            row[self._tail : self._tail + count] = column
        self._tail += count

    def pop(self, count: int) -> NDArray[np.int64]:
        """Remove and return the first `count` entries, as an array of shape (width, count)."""
        items = self._items[:, self._head : self._head + count].copy()
        self._head += count
        return items


def prefix(condition: NDArray[np.bool_]) -> int:
    """How many entries at the beginning are all true."""
    false = np.flatnonzero(~condition)
    return int(false[0]) if len(false) else len(condition)


def objects(items: list[Any]) -> NDArray[np.object_]:
    """A one-dimensional object array of the items, whatever they are."""
    array = np.empty(len(items), object)
    array[:] = items
    return array
