"""Byte strings that lie in one buffer: known by their positions, made only when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Slices(Sequence[bytes | None]):
    """n byte strings, or None in their place."""

    raw: bytes
    starts: Ints
    """Where each begins in `raw`, (n,)."""
    lengths: Ints
    """Bytes of each, (n,); -1 for None."""

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Slices:
        """Copies of these, side by side."""
        lengths = np.array([-1 if value is None else len(value) for value in values], np.int64)
        sizes = np.maximum(lengths, 0)
        return cls(b"".join(filter(None, values)), np.cumsum(sizes) - sizes, lengths)

    @property
    def ends(self) -> Ints:
        """Behind each, (n,); meaningless for None."""
        return self.starts + self.lengths

    def take(self, rows: Ints) -> list[bytes]:
        """Those of these numbers, in this order; nothing for None."""
        starts = self.starts[rows]
        ends = starts + np.maximum(self.lengths[rows], 0)
        return [self.raw[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def begin_with(self, prefix: bytes) -> bool:
        """Whether all do; None does not."""
        if not len(self):
            return True
        if int(self.lengths.min()) < len(prefix):
            return False
        windows = np.ndarray((len(self.raw) - len(prefix) + 1,), f"V{len(prefix)}", self.raw, strides=(1,))
        return bool((windows[self.starts] == np.void(prefix)).all())

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[bytes | None]:
        raw = self.raw
        for start, end, length in zip(
            self.starts.tolist(), self.ends.tolist(), self.lengths.tolist(), strict=True
        ):
            yield raw[start:end] if length >= 0 else None

    @overload
    def __getitem__(self, index: int) -> bytes | None: ...
    @overload
    def __getitem__(self, index: slice) -> Slices: ...
    def __getitem__(self, index: int | slice) -> bytes | Slices | None:
        if isinstance(index, slice):
            return Slices(self.raw, self.starts[index], self.lengths[index])
        start, length = int(self.starts[index]), int(self.lengths[index])
        return self.raw[start : start + length] if length >= 0 else None


def concat(*columns: Sequence[Slices]) -> list[Slices]:
    """Of each column its parts in order, as one. Buffers are copied where there are several, and once."""
    raws = {id(part.raw): part.raw for parts in columns for part in parts}
    starts = dict(zip(raws, np.cumsum([0, *map(len, raws.values())]).tolist(), strict=False))
    raw = next(iter(raws.values()), b"") if len(raws) <= 1 else b"".join(raws.values())
    none = np.empty(0, np.int64)
    return [
        Slices(
            raw,
            np.concatenate([none, *(part.starts + starts[id(part.raw)] for part in parts)]),
            np.concatenate([none, *(part.lengths for part in parts)]),
        )
        for parts in columns
    ]
