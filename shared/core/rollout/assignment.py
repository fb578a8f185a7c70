"""Which arm a subject belongs to: sticky, unguessable, and nested as shares grow."""

from hashlib import blake2b

from shared.core.draw import SIGNIFICANT_BITS

KEY_BYTES = 64
"""Longest key of BLAKE2b (RFC 7693)."""


def position(subject: str, salt: str, key: bytes) -> float:
    """Return a subject's place in [0, 1) within one rollout.

    It is the top 53 bits of the keyed 8-byte BLAKE2b digest of "salt NUL subject" in UTF-8, read big-endian,
    over 2**53. The salt (the rollout's id) makes rollouts independent of one another; the key keeps whoever
    knows a subject's id from working out its arm. Raises ValueError for a key that is empty or too long.
    """
    if not 0 < len(key) <= KEY_BYTES:
        raise ValueError(f"key has {len(key)} bytes; it must have 1 to {KEY_BYTES}")
    digest = blake2b(f"{salt}\0{subject}".encode(), digest_size=8, key=key).digest()
    return (int.from_bytes(digest, "big") >> (64 - SIGNIFICANT_BITS)) / 2.0**SIGNIFICANT_BITS


def is_canary(subject: str, share: float, salt: str, key: bytes) -> bool:
    """Return whether a subject gets the candidate at that share: who does at 10 % still does at 50 %."""
    return position(subject, salt, key) < share


def rollout_id(application: str, sequence: int) -> str:
    """Return the salt of the rollout that an application's transition of that number started."""
    return f"{application}-{sequence}"
