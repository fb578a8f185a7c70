"""Records of one version to columns, field by field over all rows at once.

Avro has no offsets: where a field begins depends on all before it. But a batch can be walked in step: each
row has a position, and a field is read, or passed over, for all rows by a few numpy operations. Polars'
reader, which goes row by row, takes several times as long.

What is unusual (arrays in several blocks or of many texts, lists of records that are wanted) and what is
broken raise `Unfit`; `columns.py` then reads the batch in the way that knows everything.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.wire.schemas import Schema
from shared.wire.slices import Slices
from shared.wire.varints import read_varints
from shared.wire.views import SKIPPED

Ints = NDArray[np.int64]
Position = Ints
"""Where each row is being read, (n,)."""

MOST_ITEMS = 64
"""Items of varying size that are walked one after the other; more of them are left to Polars."""
MOST_PADDED = 4
"""How many times its size a column of texts or lists of different lengths may take while it is gathered."""

FIXED = {"float": ("<f4", 4), "double": ("<f8", 8)}
TYPES: dict[str, Any] = {
    "string": pl.String(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
}
NUMBERS: dict[Any, np.dtype[Any]] = {
    pl.UInt8(): np.dtype("u1"),
    pl.Float32(): np.dtype("<f4"),
    pl.Float64(): np.dtype("<f8"),
}


class Unfit(Exception):
    """The batch is not read here."""


def scan(schema: Schema, prefix_size: int, raws: Slices) -> pl.DataFrame:
    """The wanted fields of `schema` of n records, none of them None, whose first `prefix_size` bytes are
    passed over. Raises Unfit.
    """
    at, ends = raws.starts + prefix_size, raws.ends
    walk, columns = _Walk(raws.raw), []
    try:
        for field in schema.definition["fields"]:
            if field.get(SKIPPED):
                at = walk.skip(field["type"], at)
            else:
                column, at = walk.read(field["type"], at)
                columns.append(column.alias(field["name"]))
    except IndexError as error:
        raise Unfit("a record ends behind the last one") from error
    # Positions only grow: who ended where its record ends has read nothing of another.
    if not np.array_equal(at, ends):
        raise Unfit("a record ends elsewhere")
    return pl.DataFrame(columns)


class _Walk:
    """A buffer of records, and how each type is read and passed over. All positions are of some rows."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._bytes = raw, np.frombuffer(raw, np.uint8)

    def skip(self, kind: Any, at: Position) -> Position:
        """The positions behind a value of this type."""
        match kind:
            case "boolean":
                return at + 1
            case "int" | "long":
                return self._varint(at)[1]
            case "float" | "double":
                return at + FIXED[kind][1]
            case "string" | "bytes":
                length, start = self._length(at)
                return start + length
            case {"type": "record", "fields": fields}:
                for field in fields:
                    at = self.skip(field["type"], at)
                return at
            case {"type": "array", "items": items}:
                count, at = self._length(at)
                return self._ended(count, self._items(items, count, at))
            case {"type": inner}:
                return self.skip(inner, at)
            case ["null", inner]:
                given, at = self._given(at)
                at = at.copy()
                at[given] = self.skip(inner, at[given])
                return at
        raise Unfit(str(kind))

    def read(self, kind: Any, at: Position) -> tuple[pl.Series, Position]:
        """The values of this type, and the positions behind them."""
        match kind:
            case "boolean":
                values = self._gather("u1", at)
                if values.max(initial=0) > 1:
                    raise Unfit("a boolean that is neither 0 nor 1")
                return pl.Series(values.astype(bool)), at + 1
            case "int" | "long":
                numbers, at = self._varint(at)
                narrow = numbers.astype(np.int32) if kind == "int" else numbers
                if not np.array_equal(narrow, numbers):
                    raise Unfit("an int of more than 32 bits")
                return pl.Series(narrow), at
            case "float" | "double":
                form, size = FIXED[kind]
                return pl.Series(self._gather(form, at)), at + size
            case "string":
                length, start = self._length(at)
                return self._texts(start, length), start + length
            case {"type": "array", "items": "float" | "double" as item}:
                count, start = self._length(at)
                behind = start + count * FIXED[item][1]
                return self._lists(TYPES[item], start, count), self._ended(count, behind)
            case {"type": "array"}:
                count, at = self._length(at)
                if count.any():
                    raise Unfit("lists that are not of numbers")
                return pl.Series([[]], dtype=_type(kind)).new_from_index(0, len(at)), at
            case {"type": "record"}:
                raise Unfit("a record")
            case {"type": inner}:
                return self.read(inner, at)
            case ["null", {"type": str(inner)} | str(inner)] if inner in TYPES:
                return self._optional(inner, at)
        raise Unfit(str(kind))

    def _optional(self, kind: Any, at: Position) -> tuple[pl.Series, Position]:
        given, at = self._given(at)
        if not given.any():
            return pl.Series([None], dtype=TYPES[kind]).new_from_index(0, len(at)), at
        found, behind = self.read(kind, at[given])
        if given.all():
            return found, behind
        at = at.copy()
        at[given] = behind
        order = pl.Series(np.cumsum(given) - 1).set(pl.Series(~given), None)
        return found.gather(order), at

    def _items(self, kind: Any, count: Ints, at: Position) -> Position:
        if isinstance(kind, str) and kind in FIXED:
            return at + count * FIXED[kind][1]
        most = int(count.max(initial=0))
        if most > MOST_ITEMS:
            raise Unfit("many items")
        at = at.copy()
        for index in range(most):
            rows = np.flatnonzero(count > index)
            at[rows] = self.skip(kind, at[rows])
        return at

    def _ended(self, count: Ints, at: Position) -> Position:
        """Behind the empty block that ends an array, if it had items."""
        some = count > 0
        if some.any():
            if self._gather("u1", at[some]).any():
                raise Unfit("another block")
            return at + some
        return at

    def _given(self, at: Position) -> tuple[NDArray[np.bool_], Position]:
        branch = self._gather("u1", at)
        given = branch == 2
        if not (given | (branch == 0)).all():
            raise Unfit("a branch that is not there")
        return given, at + 1

    def _length(self, at: Position) -> tuple[Ints, Position]:
        length, at = self._varint(at)
        if length.view(np.uint64).max(initial=0) > len(self._raw):
            raise Unfit("a length below 0, or beyond the end")
        return length, at

    def _varint(self, at: Position) -> tuple[Ints, Position]:
        try:
            return read_varints(self._bytes, at)
        except ValueError as error:
            raise Unfit(str(error)) from error

    def _texts(self, start: Position, length: Ints) -> pl.Series:
        try:
            return self._lists(pl.UInt8(), start, length).cast(pl.Binary).cast(pl.String)
        except pl.exceptions.PolarsError as error:
            raise Unfit("no UTF-8") from error

    def _lists(self, item: Any, start: Position, count: Ints) -> pl.Series:
        """Of each row, `count` numbers that lie side by side."""
        most = int(count.max(initial=0))
        if not most:
            return pl.Series([[]], dtype=pl.List(item)).new_from_index(0, len(count))
        if most * len(count) > MOST_PADDED * int(count.sum()) + (1 << 16):
            raise Unfit("one row is far longer than the others")
        form = NUMBERS[item]
        matrix = self._rows_of(start, most * form.itemsize).view(form)
        lists = pl.Series(matrix, dtype=pl.Array(item, most)).cast(pl.List(item))
        if count.min() == most:
            return lists
        padded = pl.DataFrame({"lists": lists, "count": count})
        return padded.select(pl.col("lists").list.head(pl.col("count")))["lists"]

    def _rows_of(self, start: Position, size: int) -> NDArray[np.uint8]:
        """`size` bytes of each row, (n, size); bytes behind the buffer's end are zero."""
        raw = self._raw
        if int(start.max(initial=0)) + size > len(raw):
            raw = raw + bytes(size)
        windows = np.ndarray((len(raw) - size + 1,), f"V{size}", raw, strides=(1,))
        return windows[start].view(np.uint8).reshape(len(start), size)

    def _gather(self, form: str, at: Position) -> NDArray[Any]:
        if form == "u1":
            return self._bytes[at]
        kind = np.dtype(form)
        windows = np.ndarray((max(0, len(self._raw) - kind.itemsize + 1),), kind, self._raw, strides=(1,))
        return windows[at]


def _type(kind: Any) -> Any:
    match kind:
        case {"type": "array", "items": items}:
            return pl.List(_type(items))
        case {"type": "record", "fields": fields}:
            return pl.Struct({field["name"]: _type(field["type"]) for field in fields})
        case ["null", inner] | {"type": inner}:
            return _type(inner)
    return TYPES[kind]
