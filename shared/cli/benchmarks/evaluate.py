"""Ten million logged decisions from Parquet through `streamwheel evaluate`, beside obp on fewer of them.

obp keeps distributions and resamples of the whole log in memory and resamples row by row, so it gets a tenth
of the rows and a twentieth of the resamples; its rate counts rows, whatever the resamples.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import ROOT, ProcessFailed, peer_command
from shared.cli.output import say
from shared.core.arrays import Floats

ROWS = 10_000_000
FEWER = 1_000_000
"""For obp, and for our memory over a shorter log."""
PEER_RESAMPLES = 100
SEED = 1
LIMIT_S = 240.0


def run() -> dict[str, Any]:
    """Measure. Raises ProcessFailed, OSError."""
    on = machine()
    with tempfile.TemporaryDirectory(prefix="streamwheel-evaluate-") as name:
        folder = Path(name)
        say(f"writing logs of {ROWS:,} and {FEWER:,} decisions")
        # In a process of its own: Linux counts the memory of whoever starts a process as part of its peak.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            long, short = pool.submit(_write_logs, folder).result()
        say("streamwheel evaluate")
        (seconds, peak, found), (_, short_peak, short_found) = _ours(long), _ours(short)
        say(f"obp, {FEWER:,} decisions, {PEER_RESAMPLES} resamples")
        peer = _obp(folder)
    rate, theirs = ROWS / seconds, FEWER / peer["seconds"]
    return {
        "benchmark": "evaluate",
        "figures": {
            "decisions": ROWS,
            "seconds": round(seconds, 2),
            "decisions_per_s": round(rate),
            "resamples": 2000,
            "peak_mb": round(peak / 1e6),
            f"peak_mb of {FEWER:,}": round(short_peak / 1e6),
            "estimates": len(found["estimates"]),
            "largest difference from obp": _apart(short_found, peer["values"]),
        },
        "peers": {
            "obp decisions_per_s": round(theirs),
            "obp seconds": round(peer["seconds"], 2),
            "obp decisions": FEWER,
            "obp resamples": PEER_RESAMPLES,
            "obp peak_mb": round(peer["peak_bytes"] / 1e6),
        },
        "ratios": {"obp decisions_per_s": round(rate / theirs, 1)},
        "machine": on,
    }


def _log(rows: int) -> dict[str, Floats]:
    """Two actions, a context in [0, 1], propensities from .2 to .8, and a reward model that is right."""
    draw = np.random.default_rng(SEED)
    context = draw.random(rows)
    first, target_first = 0.2 + 0.6 * context, 0.3 + 0.5 * context
    chance, other = 0.3 + 0.3 * context, 0.5 - 0.2 * context
    taken = draw.random(rows) < first
    return {
        "reward": (draw.random(rows) < np.where(taken, chance, other)).astype(np.float64),
        "propensity": np.where(taken, first, 1 - first),
        "target_propensity": np.where(taken, target_first, 1 - target_first),
        "q_logged": np.where(taken, chance, other),
        "q_target": target_first * chance + (1 - target_first) * other,
        "action": taken.astype(np.float64),
        "context": context,
    }


def _write_logs(folder: Path) -> tuple[Path, Path]:
    """Write the long log, and its beginning, for us and for obp."""
    columns, long, short = _log(ROWS), folder / "long.parquet", folder / "short.parquet"
    pl.DataFrame(columns).write_parquet(long)
    fewer = {name: values[:FEWER] for name, values in columns.items()}
    pl.DataFrame(fewer).write_parquet(short)
    _write_for_obp(folder, fewer)
    return long, short


def _write_for_obp(folder: Path, columns: dict[str, Floats]) -> None:
    context = columns["context"]
    first = 0.3 + 0.5 * context
    tables = {
        "reward": columns["reward"],
        "action": columns["action"].astype(np.int64),
        "pscore": columns["propensity"],
        "action_dist": np.stack([1 - first, first], axis=1)[:, :, None],
        "estimated_rewards": np.stack([0.5 - 0.2 * context, 0.3 + 0.3 * context], axis=1)[:, :, None],
    }
    for name, values in tables.items():
        np.save(folder / f"{name}.npy", values)


def _ours(file: Path) -> tuple[float, int, dict[str, Any]]:
    """Seconds from the command's start to its end, peak bytes, and its answer."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "shared.cli", "evaluate", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ProcessFailed(f"streamwheel evaluate: exit code {process.returncode}")
    answer: dict[str, Any] = json.loads(printed)
    return time.perf_counter() - began, usage.ru_maxrss * 1024, answer


def _obp(folder: Path) -> dict[str, Any]:
    command = peer_command("obp_evaluate", str(folder), str(PEER_RESAMPLES))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise ProcessFailed(f"obp: exit code {done.returncode}; its log ends:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _apart(ours: dict[str, Any], theirs: dict[str, list[float]]) -> float:
    """Largest distance of an end of our intervals from theirs, in widths: both are bootstraps."""
    distances: list[float] = []
    for name, (_, low, high) in theirs.items():
        mine = ours["estimates"][name]
        distances += [abs(mine["low"] - low) / (high - low), abs(mine["high"] - high) / (high - low)]
    return round(max(distances), 3)
