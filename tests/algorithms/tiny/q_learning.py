"""Sessions of simulated listeners."""

from functools import lru_cache

import polars as pl

from shared.algorithms.contract import Dataset
from shared.algorithms.simulated.entertainment import histories
from shared.applications.entertainment.simulator import simulator
from tests.algorithms.listeners import dataset as of_table

PARAMETERS: dict[str, object] = {}


@lru_cache
def table(decisions: int = 800, seed: int = 0) -> pl.DataFrame:
    return histories(simulator(0), decisions, seed)


def dataset() -> Dataset:
    return of_table(table())
