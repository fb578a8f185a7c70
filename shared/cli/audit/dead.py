"""Which inputs are in the dead letters."""

from __future__ import annotations

from collections import Counter

from shared.cli.dead_letters import read
from shared.cli.topic_log import Log

INPUTS = ("decisions", "interactions")


def read_dead(log: Log, prefix: str) -> Counter[tuple[str, int, int]]:
    """(topic without `prefix`, partition, offset) → how many dead letters name it as their origin."""
    found: Counter[tuple[str, int, int]] = Counter()
    for letter in read(log, prefix):
        if letter.topic in INPUTS and letter.partition is not None and letter.offset is not None:
            found[letter.topic, letter.partition, letter.offset] += 1
    return found
