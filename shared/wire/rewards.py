"""Reward records by the batch: the decision's own bytes, copied, and a tail of encoded columns."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.wire.codec import decode, encode
from shared.wire.schemas import Schema, schema
from shared.wire.varints import Bytes, Integers, varint, varints

# A column on its way to bytes: a matrix (n, w), and how many bytes of each row count (None: all of them).
Slot = tuple[Bytes, Integers | None]
INT_LIMIT = 1 << 31


def encode_rewards(
    decisions: Sequence[bytes],
    *,
    reward: ArrayLike,
    components: Mapping[str, ArrayLike],
    previous_reward: ArrayLike,
    revision: ArrayLike,
    is_default: ArrayLike,
    interactions: ArrayLike,
    reward_version: Sequence[str] | str,
    decision_time: ArrayLike,
    decision_offset: ArrayLike,
    reward_time: ArrayLike,
    decision_schema: Schema | None = None,
) -> list[bytes]:
    """One record of the topic rewards for each of n single-object encoded `decisions`.

    Every column is an array (n,) or one value for all; times are in milliseconds since 1970. Equals, byte for
    byte, what Avro writes for the record with the decision nested. Bytes with the current schema's prefix are
    taken as they are, so pass only what `decode_columns` found good; an older version is resolved first.
    Raises ValueError for a column of another length or an integer out of range, WireError for a decision of
    no known version.
    """
    n = len(decisions)
    slots = [_doubles(reward, n), *_components(components, n), _doubles(previous_reward, n)]
    slots += [_integers(revision, n, INT_LIMIT), _flags(is_default, n), _integers(interactions, n, INT_LIMIT)]
    slots += _texts(reward_version, n)
    slots += [_integers(column, n) for column in (decision_time, decision_offset, reward_time)]
    source = _current(decisions, decision_schema or schema("decisions"))
    prefix = schema("rewards").prefix
    return [prefix + raw[10:] + tail for raw, tail in zip(source, _tails(slots, n), strict=True)]


def _current(decisions: Sequence[bytes], target: Schema) -> Sequence[bytes]:
    prefix = target.prefix
    if all(raw.startswith(prefix) for raw in decisions):
        return decisions
    return [raw if raw.startswith(prefix) else encode(target, decode(target, raw)) for raw in decisions]


def _tails(slots: Sequence[Slot], n: int) -> list[bytes]:
    matrix = np.concatenate([slot for slot, _ in slots], axis=1)
    kept = np.ones(matrix.shape, dtype=bool)
    sizes = np.zeros(n, dtype=np.int64)
    start = 0
    for slot, lengths in slots:
        width = slot.shape[1]
        if lengths is not None:
            kept[:, start : start + width] = np.arange(width) < lengths[:, None]
        sizes += width if lengths is None else lengths
        start += width
    flat = matrix[kept].tobytes()
    ends = np.cumsum(sizes).tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _column(values: ArrayLike, n: int, dtype: type[np.generic]) -> NDArray[np.generic]:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values).astype(dtype, casting="same_kind"), (n,)))


def _doubles(values: ArrayLike, n: int) -> Slot:
    return _column(values, n, np.float64).astype("<f8").view(np.uint8).reshape(n, 8), None


def _flags(values: ArrayLike, n: int) -> Slot:
    return _column(values, n, np.bool_).view(np.uint8).reshape(n, 1), None


def _integers(values: ArrayLike, n: int, limit: int = 1 << 63) -> Slot:
    column = _column(values, n, np.int64).astype(np.int64, copy=False)
    low, high = (int(column.min()), int(column.max())) if n else (0, 0)
    if not -limit <= low <= high < limit:
        raise ValueError(f"an integer lies outside of [{-limit}, {limit})")
    if low == high:
        return _constant(varint(low), n)
    matrix, lengths = varints(column)
    return matrix, None if (lengths == matrix.shape[1]).all() else lengths


def _constant(value: bytes, n: int) -> Slot:
    return np.broadcast_to(np.frombuffer(value, dtype=np.uint8), (n, len(value))), None


def _components(components: Mapping[str, ArrayLike], n: int) -> list[Slot]:
    if not components:
        return [_constant(varint(0), n)]
    slots = [_constant(varint(len(components)), n)]
    for name, values in components.items():
        slots += [*_texts(name, n), _doubles(values, n)]
    return [*slots, _constant(varint(0), n)]


def _texts(values: Sequence[str] | str, n: int) -> list[Slot]:
    if isinstance(values, str):
        encoded = values.encode()
        return [_constant(varint(len(encoded)) + encoded, n)]
    if len(values) != n:
        raise ValueError(f"{len(values)} texts for {n} records")
    each = [value.encode() for value in values]
    lengths = np.array([len(value) for value in each], dtype=np.int64)
    width = int(lengths.max(initial=1)) or 1
    matrix = np.array(each, dtype=f"S{width}").view(np.uint8).reshape(n, width)
    return [varints(lengths), (matrix, lengths)]
