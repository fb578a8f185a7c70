"""Queries, and the tiny Llama against a reward model that is trained when it is first asked for."""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from shared.algorithms.contract import Dataset
from tests.algorithms.training import trained
from tests.algorithms_language import tiny

_FOLDER = tempfile.TemporaryDirectory()


@lru_cache
def _reward_model() -> str:
    return str(trained("reward_model", Path(_FOLDER.name)).folder)


def dataset() -> Dataset:
    """Twelve queries."""
    return Dataset("assistant", {"feedback": pl.DataFrame({"query": tiny.queries(12)})}, (tiny.SOURCE,))


def __getattr__(name: str) -> Any:
    if name != "PARAMETERS":
        raise AttributeError(name)
    return {
        "reward_model": _reward_model(),
        "base_model": str(tiny.LLAMA),
        "updates": 1,
        "ppo_epochs": 1,
        "response_length": 4,
        "min_samples": 8,
        "held_out": 0.25,
    }
