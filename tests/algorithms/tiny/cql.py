"""Searches whose reward is higher the nearer the weights are to a target that one feature sets."""

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset, Source
from shared.algorithms.reading.search_ranking import SCHEMA

PARAMETERS: dict[str, object] = {"epochs": 2, "batch_size": 64, "hidden": [16, 16], "action_samples": 3}
SOURCE = Source("searches.jsonl", "12" * 32, 400)
TARGETS = np.array([[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4]])


def truth(states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    wanted = TARGETS[(states[:, 0] > 0).astype(int)]
    return 10 - 60 * ((actions - wanted) ** 2).sum(axis=1)


def searches(n: int = 400, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    states = random.standard_normal((n, 23)) * 10 + 3
    states[:, 0] = random.choice([-1.0, 1.0], n)
    actions = random.dirichlet(np.full(7, 2.0), n)
    bought = random.random(n) < 0.3
    rank = np.where(bought, random.integers(1, 11, n), 0)
    rows = {
        "observation": states.tolist(),
        "action": actions.tolist(),
        "reward": truth(states, actions) + random.standard_normal(n),
        "logged_reward": np.ones(n) + bought,
        "purchase": bought * 5.0,
        "first_rank": rank.astype(float),
        "hits_at_5": (bought & (rank <= 5)).astype(float),
        "hits_at_10": bought.astype(float),
        "revenue": bought * 250.0,
    }
    return pl.DataFrame(rows, schema=SCHEMA)


def dataset(frame: pl.DataFrame | None = None) -> Dataset:
    return Dataset("search_ranking", {"searches": searches() if frame is None else frame}, (SOURCE,), ())
