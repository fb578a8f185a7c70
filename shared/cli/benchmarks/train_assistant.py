"""What a reward model of real pairs is right about, and what a policy that learns from it gains.

Both are trained with three seeds, each of which holds out other queries; presets `tiny` were chosen on
queries that none of the three holds out. The reward is the reward model's: of 260,000 parameters, it says
little of what people would prefer, so what counts is that the policy earns more of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.train_language import LLAMA, candidate, real_pairs
from shared.cli.output import say

SEEDS = (3, 4, 5)
PRESET = "tiny"

Metrics = Mapping[str, float]


def run() -> dict[str, Any]:
    """Measure in this process; minutes on two cores."""
    on = machine()
    with tempfile.TemporaryDirectory() as folder:
        learnt = [from_preferences(real_pairs(), Path(folder), seed) for seed in SEEDS]
    return {
        "benchmark": "train-assistant",
        "figures": {
            "reward_model": {
                **_pooled([scored for scored, _ in learnt]),
                "seeds": [each[0] for each in learnt],
            },
            "ppo": [each[1] for each in learnt],
        },
        "peers": {},
        "ratios": {},
        "machine": on,
    }


def from_preferences(pairs: pl.DataFrame, root: Path, seed: int) -> tuple[Metrics, Metrics]:
    """What a reward model of pairs, and a policy that learns from it, are measured by on held-out queries."""
    began = time.perf_counter()
    scored = candidate("reward_model", pairs, root, PRESET, seed, base_model=LLAMA)
    policy = candidate("ppo", pairs, root, PRESET, seed, reward_model=str(scored.folder), base_model=LLAMA)
    found = policy.manifest.metrics
    say(
        f"seed {seed}: {time.perf_counter() - began:.0f} s, gain {found['gain']:.3f} "
        f"[{found['gain_low']:.3f}, {found['gain_high']:.3f}], divergence {found['kl']:.3f}"
    )
    return scored.manifest.metrics, found


def _pooled(scored: Sequence[Metrics]) -> dict[str, float]:
    """Accuracy on the held-out pairs of all seeds; a pair that two of them hold out counts as one more."""
    from shared.algorithms.language.statistics import wilson

    pairs = [each["held_out_pairs"] for each in scored]
    found: dict[str, float] = {"held_out_pairs": sum(pairs)}
    for name in ("accuracy", "length_accuracy"):
        right = sum(count * each[name] for count, each in zip(pairs, scored, strict=True))
        found |= wilson(right, int(sum(pairs))).metrics(name)
    return found
