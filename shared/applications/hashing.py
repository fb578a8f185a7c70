"""Texts as vectors of fixed width: signed feature hashing (Weinberger et al. 2009)."""

import re
from collections.abc import Iterable
from zlib import crc32

import numpy as np

from shared.applications.contract import Vector

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.lower())


def hashed(tokens: Iterable[str], width: int) -> Vector:
    """A vector of `width` float32 and length 1 (0 for no tokens), the same in every process."""
    vector = np.zeros(width, np.float32)
    for token in tokens:
        digest = crc32(token.encode())
        vector[digest % width] += 1.0 if digest & 0x8000_0000 else -1.0
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector
