"""Named numpy arrays and a JSON header as bytes: little-endian, row-major, no pickle."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

MAGIC = b"SWA1"
DTYPES = {"f4": "<f4", "f8": "<f8", "i4": "<i4", "i8": "<i8", "u1": "u1"}

_PREFIX = struct.Struct("<4sI")


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return magic, header length, header as JSON (with each array's dtype and shape), then the arrays."""
    layout = [(name, array.dtype.str[1:], array.shape) for name, array in arrays.items()]
    head = json.dumps({**header, "arrays": layout}, separators=(",", ":")).encode()
    bodies = [
        np.ascontiguousarray(array, DTYPES[code]).data for (_, code, _), array in _pairs(layout, arrays)
    ]
    return b"".join([_PREFIX.pack(MAGIC, len(head)), head, *bodies])


def unpack(raw: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and read-only arrays. Raises ValueError where the bytes are not what `pack` wrote."""
    if len(raw) < _PREFIX.size or raw[:4] != MAGIC:
        raise ValueError("not packed arrays: the magic number is missing")
    at = _PREFIX.size + _PREFIX.unpack_from(raw)[1]
    try:
        header = json.loads(raw[_PREFIX.size : at])
        layout = [
            (str(name), np.dtype(DTYPES[code]), tuple(shape)) for name, code, shape in header.pop("arrays")
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"packed arrays with a broken header: {error}") from error
    arrays = {}
    for name, dtype, shape in layout:
        size = int(np.prod(shape, dtype=np.int64))
        if size < 0 or at + size * dtype.itemsize > len(raw):
            raise ValueError(f"packed arrays end inside {name!r}")
        arrays[name] = np.frombuffer(raw, dtype, size, at).reshape(shape)
        at += size * dtype.itemsize
    if at != len(raw):
        raise ValueError(f"{len(raw) - at} bytes follow the packed arrays")
    return header, arrays


def _pairs(layout: list[Any], arrays: Mapping[str, np.ndarray]) -> Any:
    return zip(layout, arrays.values(), strict=True)
