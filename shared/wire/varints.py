"""Avro's integers: zigzag, then seven bits a byte, least significant first (Avro 1.12, Binary encoding).

Kafka's records have the same (Kafka protocol guide, Record).
"""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

LONGEST = 10
"""Bytes of the longest integer, of 64 bits."""


def varint(value: int) -> bytes:
    """The encoding of one integer of at most 64 bits."""
    rest = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def varints(values: Integers) -> tuple[Bytes, Integers]:
    """Encode `values` (n,) into the rows of a matrix (n, w), w the longest; also each one's length (n,)."""
    rest: NDArray[np.uint64] = ((values << 1) ^ (values >> 63)).view(np.uint64)
    width = max(1, -(-int(rest.max(initial=0)).bit_length() // 7))
    matrix = np.empty((len(rest), width), dtype=np.uint8)
    lengths = np.ones(len(rest), dtype=np.int64)
    for column in range(width):
        more = rest > 0x7F
        matrix[:, column] = (rest.astype(np.uint8) & 0x7F) | (more.view(np.uint8) << 7)
        lengths += more
        rest = rest >> np.uint64(7)
    return matrix, lengths


def read_varints(raw: Bytes, at: Integers) -> tuple[Integers, Integers]:
    """The integers that begin at positions (n,) of `raw`, and the positions behind them.

    Raises ValueError for more than 64 bits, IndexError for one that ends behind the buffer's end.
    """
    low = raw[at]
    if low.max(initial=0) < 0x80:
        return ((low >> 1) ^ -(low & 1).view(np.int8)).astype(np.int64), at + 1
    value = (low & 0x7F).astype(np.uint64)
    more, at = low > 0x7F, at + 1
    for shift in range(7, 7 * LONGEST, 7):
        if more.all():
            part = raw[at]
            at = at + 1
        else:
            part = np.zeros(len(at), np.uint8)
            part[more] = raw[at[more]]
            at = at + more
        if shift == 7 * (LONGEST - 1) and part.max() > 1:
            break
        value |= (part & 0x7F).astype(np.uint64) << np.uint64(shift)
        more = part > 0x7F
        if not more.any():
            return (value >> np.uint64(1)).view(np.int64) ^ -(value & np.uint64(1)).view(np.int64), at
    raise ValueError("an integer of more than 64 bits")
