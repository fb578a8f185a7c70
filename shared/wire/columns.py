"""Whole batches of records to columns, with every broken record set apart.

Large batches are walked by `scanning`, field by field. What it does not take becomes the one block of an Avro
container, which Polars reads straight into columns. Bodies carry no
length, so a short record beside a long one could still parse, its fields shifted. Hence every record is
followed by a *boundary*, a number drawn afresh for each batch and read as one more field. If all n rows read
it, each ended where its record ended: the n boundaries are met in order, and no record can contain one.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from operator import itemgetter
from random import SystemRandom

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.wire.codec import SINGLE_OBJECT, Framing, WireError, decode, encode
from shared.wire.scanning import Unfit, scan
from shared.wire.schemas import Schema, without
from shared.wire.slices import Slices
from shared.wire.varints import varint
from shared.wire.views import SKIPPED

FRAME = "__frame"
BOUNDARY = "__boundary"
SYNC = bytes(16)

# A failing part of a batch is read one by one from this many records on: halving it further costs as much.
SCREENED = 128

# From this many records on, walking all in step is faster than reading row by row.
SCANNED = 1000

# Rows of a batch, and their columns or why the only one of them has none.
Rows = NDArray[np.int64]
Part = tuple[Rows, pl.DataFrame | WireError]

# Records that begin as the current version's do.
Raws = Sequence[bytes] | Slices

# Polars panics on a length that points past the block, and a panic is no Exception.
BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass(frozen=True, eq=False)
class Columns:
    """A decoded batch: `frame` holds the good records in their order, one column for each field.

    Row i of `frame` was record `rows[i]` of the batch; `bad` lists (index, why) of all the others, in order.
    Times are Int64, milliseconds since 1970.
    """

    frame: pl.DataFrame
    rows: NDArray[np.int64]
    bad: list[tuple[int, WireError]]


def decode_columns(schema: Schema, raws: Sequence[bytes | None], framing: Framing = SINGLE_OBJECT) -> Columns:
    """Decode `raws`; a record that cannot be decoded is in the result's `bad` and raises nothing.

    Records of the current version take the fast path, those of older versions are first brought to it. A
    batch that fails is halved until the records at fault stand alone. Whether a record is good, and what it
    says, does not depend on the batch that it is in.
    """
    prefix = framing.prefix(schema)
    rows: Rows = np.arange(len(raws))
    bad: list[tuple[int, WireError]] = []
    if isinstance(raws, Slices) and raws.begin_with(prefix) and raws.lengths.max(initial=0) <= schema.limit:
        ready: Raws = raws
    else:
        ready = [
            raw for raw in raws if raw is not None and len(raw) <= schema.limit and raw.startswith(prefix)
        ]
        if len(ready) < len(raws):
            ready, rows, bad = _translated(schema, raws, framing)
    found: list[Rows] = []
    frames: list[pl.DataFrame] = []
    for part, result in _halves(schema, framing, ready, rows):
        if isinstance(result, WireError):
            bad.append((int(part[0]), result))
        else:
            found.append(part)
            frames.append(result)
    frame = pl.concat(frames) if frames else _empty(schema)
    return Columns(frame, np.concatenate([rows[:0], *found]), sorted(bad, key=itemgetter(0)))


def float_matrix(lists: pl.Series, width: int) -> NDArray[np.float32]:
    """A column of lists of `width` numbers each as a matrix (rows, width).

    Raises ValueError, naming the first row, if a list has another length.
    """
    lengths = lists.list.len().to_numpy()
    wrong = np.flatnonzero(lengths != width)
    if wrong.size:
        raise ValueError(f"row {wrong[0]} of {lists.name!r} has {lengths[wrong[0]]} numbers, not {width}")
    if not lists.len() or not width:
        return np.zeros((lists.len(), width), dtype=np.float32)
    flat = lists.explode(empty_as_null=True, keep_nulls=True).to_numpy()
    return flat.astype(np.float32, copy=False).reshape(-1, width)


def _given(raws: Sequence[bytes | None]) -> list[bytes]:
    return [raw for raw in raws if raw is not None]


def _translated(
    schema: Schema, raws: Sequence[bytes | None], framing: Framing
) -> tuple[list[bytes], Rows, list[tuple[int, WireError]]]:
    """All records that are or can become ones of the current version, their rows, and the others."""
    prefix = framing.prefix(schema)
    ready: list[bytes] = []
    rows: list[int] = []
    bad: list[tuple[int, WireError]] = []
    for row, raw in enumerate(raws):
        try:
            current = raw is not None and len(raw) <= schema.limit and raw.startswith(prefix)
            ready.append(raw if raw and current else encode(schema, decode(schema, raw, framing), framing))
            rows.append(row)
        except WireError as error:
            bad.append((row, error))
    return ready, np.array(rows, np.int64), bad


def _halves(schema: Schema, framing: Framing, raws: Raws, rows: Rows) -> Iterator[Part]:
    frame = _block(schema, framing, raws)
    if frame is not None:
        yield rows, frame
    elif len(raws) > SCREENED:
        middle = len(raws) // 2
        yield from _halves(schema, framing, raws[:middle], rows[:middle])
        yield from _halves(schema, framing, raws[middle:], rows[middle:])
    else:
        yield from _screened(schema, framing, _given(raws), rows)


def _screened(schema: Schema, framing: Framing, raws: list[bytes], rows: Rows) -> Iterator[Part]:
    faults = [_fault(schema, framing, raw) for raw in raws]
    yield from ((rows[n : n + 1], fault) for n, fault in enumerate(faults) if fault is not None)
    kept = [n for n, fault in enumerate(faults) if fault is None]
    sound = [raws[n] for n in kept]
    frame = _block(schema, framing, sound)
    if frame is not None:
        yield rows[kept], frame
    else:
        yield from ((rows[n : n + 1], _alone(schema, framing, raws[n])) for n in kept)


def _fault(schema: Schema, framing: Framing, raw: bytes) -> WireError | None:
    try:
        decode(schema, raw, framing)
    except WireError as error:
        # An unknown branch of a union is an IndexError to fastavro, and "not null" to Polars.
        unsure = error.reason == "malformed" and isinstance(error.__cause__, IndexError)
        lenient = unsure and _block(schema, framing, [raw]) is not None
        return None if lenient else error
    return None


def _alone(schema: Schema, framing: Framing, raw: bytes) -> pl.DataFrame | WireError:
    """What Polars refuses may still be Avro in an unusual form: it gets a second chance, written anew."""
    frame = _block(schema, framing, [raw])
    if frame is not None:
        return frame
    frame = _block(schema, framing, [encode(schema, decode(schema, raw, framing), framing)])
    message = f"a record of {schema.name} that cannot be read into columns"
    return WireError("malformed", message) if frame is None else frame


def _block(schema: Schema, framing: Framing, raws: Raws) -> pl.DataFrame | None:
    if not len(raws):
        return _empty(schema)
    if len(raws) >= SCANNED:
        with suppress(Unfit):
            return scan(
                schema, len(framing.prefix(schema)), raws if isinstance(raws, Slices) else Slices.of(raws)
            )
    return _container(schema, framing, raws)


def _container(schema: Schema, framing: Framing, raws: Raws) -> pl.DataFrame | None:
    header = _header(schema, len(framing.prefix(schema)))
    number = 1 + SystemRandom().random()
    boundary = struct.pack("<d", number)
    body = boundary.join(_given(raws))
    size = len(body) + len(boundary)
    parts = (header, varint(len(raws)), varint(size), body, boundary, SYNC)
    try:
        frame = pl.read_avro(BytesIO(b"".join(parts)), columns=[*_names(schema), BOUNDARY])
    except BROKEN:
        return None
    if frame.height != len(raws) or not (frame.drop_in_place(BOUNDARY) == number).all():
        return None
    return frame


def _empty(schema: Schema) -> pl.DataFrame:
    return pl.read_avro(BytesIO(_header(schema, 1)), columns=_names(schema))


def _names(schema: Schema) -> list[str]:
    return [field["name"] for field in schema.definition["fields"] if not field.get(SKIPPED)]


@lru_cache
def _header(schema: Schema, prefix_size: int) -> bytes:
    """The start of an Avro container whose rows are a framed record and a boundary."""
    record = without(schema.definition, {"doc", "logicalType", SKIPPED})
    frame = {"name": FRAME, "type": {"type": "fixed", "name": "Frame", "size": prefix_size}}
    fields = [frame, *record["fields"], {"name": BOUNDARY, "type": "double"}]
    metadata = {"avro.schema": json.dumps({**record, "fields": fields}), "avro.codec": "null"}
    pairs = (_text(part) for pair in metadata.items() for part in pair)
    return b"Obj\x01" + varint(len(metadata)) + b"".join(pairs) + varint(0) + SYNC


def _text(value: str) -> bytes:
    encoded = value.encode()
    return varint(len(encoded)) + encoded
