"""A rule in pairs and labels, neither of which are enough alone, and the tiny Llama."""

from dataclasses import replace

from shared.algorithms.contract import Dataset
from tests.algorithms_language import tiny

PARAMETERS: dict[str, object] = {
    "base_model": str(tiny.LLAMA),
    "epochs": 1,
    "min_samples": 20,
    "held_out": 0.25,
}


def dataset() -> Dataset:
    """Twelve pairs and twelve labels."""
    found = tiny.dataset("reward_model")
    return replace(found, tables={name: table.head(12) for name, table in found.tables.items()})
