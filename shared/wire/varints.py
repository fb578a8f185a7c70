"""Avro's integers: zigzag, then seven bits a byte, least significant first (Avro 1.12, Binary encoding)."""

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


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
