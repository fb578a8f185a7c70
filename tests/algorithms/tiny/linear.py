"""Two actions, one right for each sign of the first feature."""

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset, Source

PARAMETERS: dict[str, object] = {}
SOURCE = Source("rewards.jsonl", "ab" * 32, 600)


def rewards(n: int = 600, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    contexts = random.standard_normal((n, 3))
    propensity = np.where(contexts[:, 1] > 0, 0.7, 0.3)
    chosen = random.random(n) < propensity
    right = chosen == (contexts[:, 0] > 0)
    return pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(n)],
            "subject_id": [f"s{i % 200}" for i in range(n)],
            "time": np.arange(n) * 1000,
            "context": contexts.tolist(),
            "action": np.where(chosen, "yes", "no").tolist(),
            "propensity": np.where(chosen, propensity, 1 - propensity),
            "reward": right + 0.1 * random.standard_normal(n),
        }
    )


def dataset() -> Dataset:
    return Dataset("shop", {"rewards": rewards()}, (SOURCE,), ("no", "yes"))
