"""The prompt search on simulated calls with known slot effects: is the best combination among the top five?

Each seed has effects of its own and 5,000 calls, spread evenly over the twelve variants that exist; most of
the 48 combinations were never tried.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset
from shared.algorithms.prompt_search.declaration import Parameters
from shared.algorithms.reading.voice_assistant import read_line, tables
from shared.algorithms.registry import algorithms
from shared.applications.registry import load
from shared.applications.voice_assistant.simulator import VoiceSimulator
from shared.applications.voice_assistant.variants import read_variants
from shared.cli.benchmarks.machine import machine
from shared.cli.output import say

EVENTS = 5_000
SEEDS = 10


def run() -> dict[str, Any]:
    """Measure."""
    on = machine()
    found = [_one(seed) for seed in range(SEEDS)]
    correlations = [correlation for _, correlation in found]
    figures = {
        "events": EVENTS,
        "seeds": SEEDS,
        "best_among_top_five": sum(inside for inside, _ in found),
        "rank_correlation_median": round(median(correlations), 3),
        "rank_correlation_least": round(min(correlations), 3),
    }
    return {
        "benchmark": "train-voice-assistant",
        "figures": figures,
        "peers": {},
        "ratios": {},
        "machine": on,
    }


def _one(seed: int) -> tuple[bool, float]:
    world = VoiceSimulator(read_variants(), seed)
    application = load()["voice_assistant"]
    lines = [read_line(application, line) for line in world.events(EVENTS, np.random.default_rng(seed))]
    data = Dataset(application.name, tables(application, lines), (), application.actions)
    with tempfile.TemporaryDirectory(prefix="streamwheel-train-") as folder:
        training = algorithms()["prompt_search"].training()
        training.train(data, Parameters(), seed, Path(folder), lambda share, doing: None)
        grid = json.loads((Path(folder) / "grid.json").read_text())
        top = [each["slots"] for each in json.loads((Path(folder) / "top.json").read_text())]
    scores = pl.DataFrame(
        {
            "truth": [world.reward_of(each["slots"]) for each in grid],
            "predicted": [each["predicted_reward"] for each in grid],
        }
    )
    correlation = float(scores.select(pl.corr("truth", "predicted", method="spearman")).item())
    inside = world.best() in top
    say(f"seed {seed}: best {'among' if inside else 'not among'} the top five, correlation {correlation:.3f}")
    return inside, correlation
