"""Calls whose rewards add up over the slots of their variant."""

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset, Source
from shared.algorithms.reading.voice_assistant import SCHEMA
from shared.applications.voice_assistant.variants import read_variants

PARAMETERS: dict[str, object] = {"trees": 20, "folds": 2, "contexts": 10}
EFFECTS = {"friendly": 0.15, "warm": 0.2, "short": 0.1, "guided": -0.15, "low": 0.05}
SOURCE = Source("calls.jsonl", "cd" * 32, 600)


def truth(slots: dict[str, str]) -> float:
    return sum(EFFECTS.get(value, 0.0) for value in slots.values())


def calls(n: int = 600, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    variants = read_variants().variants
    names = random.choice(list(variants), n)
    rewards = [truth(variants[name]) for name in names] + 0.2 * random.standard_normal(n)
    rows = {
        "time": 1_760_000_000_000 + np.arange(n) * 60_000,
        "agent": ["TOM"] * n,
        "profile": random.choice(["kfz", "it", "sales"], n).tolist(),
        "variant": names.tolist(),
        "reward": np.clip(rewards, -1, 1),
        "resolution": (random.random(n) < 0.5).astype(float),
        "user_rating": random.integers(1, 6, n).astype(float),
        "barge_in_count": random.integers(0, 4, n).astype(float),
        "repeats": random.integers(0, 3, n).astype(float),
        "duration_sec": random.uniform(30, 400, n),
        "escalation": (random.random(n) < 0.1).astype(float),
    }
    return pl.DataFrame(rows, schema=SCHEMA)


def dataset(frame: pl.DataFrame | None = None) -> Dataset:
    table = calls() if frame is None else frame
    return Dataset("voice_assistant", {"calls": table}, (SOURCE,), tuple(read_variants().variants))
