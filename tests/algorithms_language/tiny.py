"""Trainings of seconds: the tiny Llama, short real pairs, and a rule that it can learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shared.algorithms.artefacts import Artefact
from shared.algorithms.artefacts import train as make
from shared.algorithms.contract import Dataset, Source
from shared.algorithms.registry import algorithms

DATA = Path(__file__).parents[1] / "data"
LLAMA = DATA / "stories260k"
SOURCE = Source("pairs.jsonl", "ab" * 32, 1176)
#: Answers of equal length, in words that the tiny Llama knows.
LIKED, DISLIKED = "The cat was happy.", "The dog was angry."
_NAMES = ("Tom", "Lily", "Ben", "Mia", "Sam", "Anna", "Max", "Sue")
_THINGS = ("ball", "tree", "boat", "house", "park", "car", "fish", "book")

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "reward_model": {"learning_rate": 3e-3, "epochs": 2, "min_samples": 10},
    "dpo": {"learning_rate": 3e-3, "epochs": 2, "lora_r": 4, "min_samples": 10, "held_out": 0.25},
}


def silent(share: float, doing: str) -> None:
    """Progress that nobody follows."""


def real_pairs(count: int = 40) -> pl.DataFrame:
    """The shortest of the real pairs: columns prompt, chosen, rejected."""
    pairs = pl.read_ndjson(DATA / "preference_pairs" / "pairs.jsonl").select("prompt", "chosen", "rejected")
    length = pl.sum_horizontal(pl.all().str.len_chars())
    return pairs.sort(length, maintain_order=True).head(count)


def queries(count: int) -> list[str]:
    return [f"What did {_NAMES[i % 8]} do with the {_THINGS[i // 8 % 8]} {i // 64}?" for i in range(count)]


def ruled_pairs(count: int = 48) -> pl.DataFrame:
    """Pairs in which one answer is always the better one, but for how it is worded."""
    asked = queries(count)
    return pl.DataFrame(
        {
            "query": asked,
            "chosen": [f"{_NAMES[i % 7]} said: {LIKED}" for i in range(count)],
            "rejected": [f"{_NAMES[i % 5]} said: {DISLIKED}" for i in range(count)],
        }
    )


def feedback(count: int = 48, seed: int = 0) -> pl.DataFrame:
    """Labels that follow the same rule."""
    positive = np.random.default_rng(seed).random(count) < 0.5
    return pl.DataFrame(
        {
            "query": queries(count),
            "response": [LIKED if each else DISLIKED for each in positive],
            "positive": positive,
        }
    )


def tables(name: str) -> dict[str, pl.DataFrame]:
    if name == "dpo":
        pairs = ruled_pairs().rename({"query": "prompt"})
        return {"preferences": pairs.with_columns(question_id=pl.col("prompt"))}
    return {"preferences": ruled_pairs(), "feedback": feedback()}


def dataset(name: str, **other: pl.DataFrame) -> Dataset:
    application = algorithms()[name].declaration.APPLICATIONS[0]
    return Dataset(application, tables(name) | other, (SOURCE,))


def parameters(name: str, **more: Any) -> Any:
    declared = algorithms()[name].declaration
    return declared.Parameters(**{"base_model": str(LLAMA)} | dict(PARAMETERS[name]) | more)


def trained(name: str, root: Path, seed: int = 1) -> Artefact:
    return make(algorithms()[name], dataset(name), parameters(name), seed, root, silent)
