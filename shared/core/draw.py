"""The one seeded sampler: anybody can recompute a logged draw from the decision's own record."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

import numpy as np

SIGNIFICANT_BITS = 53  # a double's mantissa: every value is exact and below 1


def uniform(decision_id: str, policy: str, version: int) -> float:
    """Return the number in [0, 1) that belongs to a decision under one version of a policy.

    It is the top 53 bits of the 8-byte BLAKE2b digest (RFC 7693) of
    "decision_id NUL policy NUL version" in UTF-8, read big-endian, over 2**53.
    """
    digest = blake2b(f"{decision_id}\0{policy}\0{version}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - SIGNIFICANT_BITS)) / 2.0**SIGNIFICANT_BITS


def draw(probabilities: Sequence[float] | np.ndarray, u: float) -> int:
    """Return the index that u in [0, 1) selects: the first whose cumulative probability exceeds u.

    An action of probability zero is never selected, also where rounding leaves the sum below u.
    Raises ValueError if no probability is above zero.
    """
    chosen = -1
    for index, (probability, total) in enumerate(
        zip(probabilities, accumulate(probabilities), strict=True),
    ):
        if probability > 0:
            chosen = index
            if total > u:
                return chosen
    if chosen < 0:
        raise ValueError("no action has a probability above zero")
    return chosen
