"""A rule in pairs of answers, and the tiny Llama."""

from dataclasses import replace

from shared.algorithms.contract import Dataset
from tests.algorithms_language import tiny

PARAMETERS: dict[str, object] = {
    "base_model": str(tiny.LLAMA),
    "epochs": 1,
    "lora_r": 2,
    "min_samples": 8,
    "held_out": 0.25,
}


def dataset() -> Dataset:
    """Sixteen pairs."""
    found = tiny.dataset("dpo")
    return replace(found, tables={name: table.head(16) for name, table in found.tables.items()})
