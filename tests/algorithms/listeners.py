"""Histories of simulated listeners, as training reads them."""

from typing import Any

import polars as pl

from shared.algorithms.contract import Dataset, Source
from shared.applications.entertainment.simulator import simulator

SOURCE = Source("histories.jsonl", "ef" * 32, 800)


def dataset(table: pl.DataFrame, **more: Any) -> Dataset:
    return Dataset("entertainment", {"histories": table}, (SOURCE,), simulator(0).actions, **more)
