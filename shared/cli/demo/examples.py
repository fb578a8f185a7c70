"""Labelled data as a contextual bandit: a context, and the one action that is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

DATA = Path(__file__).resolve().parents[3] / "tests" / "data"


class Example(NamedTuple):
    """What a request tells, and what it does not."""

    context: dict[str, float]
    right: str


def optdigits(random: Random) -> list[Example]:
    """5,620 handwritten digits in random order: 64 counts of ink and the digit. Raises OSError."""
    lines = (DATA / "uci_multiclass" / "optdigits.data").read_text().splitlines()
    examples = []
    for line in lines:
        *pixels, digit = line.split(",")
        examples.append(Example({f"pixel_{n:02}": float(ink) for n, ink in enumerate(pixels)}, digit))
    random.shuffle(examples)
    return examples


DEMOS: Mapping[str, Callable[[Random], list[Example]]] = {"optdigits": optdigits}
"""Application → its examples."""
