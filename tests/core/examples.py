"""Made-up reward records for the tests of the bandit."""

import numpy as np

from shared.core.policies.learner import Learner
from shared.core.policies.rows import Rows


def some_rows(n: int, *, width: int = 3, actions: int = 4, seed: int = 0, corrections: bool = True) -> Rows:
    """Random rows; about a fifth are corrections, times are unordered within three days."""
    noise = np.random.default_rng(seed)
    return Rows.of(
        noise.normal(loc=2.0, scale=3.0, size=(n, width)),
        noise.integers(0, actions, n),
        noise.random(n),
        noise.random(n) < (0.8 if corrections else 2.0),
        1_700_000_000_000 + noise.integers(0, 3 * 86_400_000, n),
    )


def teach(learner: Learner, rows: Rows, *cuts: int) -> Learner:
    """Let the learner learn these rows in the batches that the cuts make."""
    for start, end in zip((0, *cuts), (*cuts, len(rows)), strict=True):
        part = rows[start:end]
        learner.learn(part.contexts, part.actions, part.rewards, part.fresh, part.times)
    return learner
