"""Mean reward over one pass of real rows as a bandit: the default policy beside VW, MABWiser and river.

Two data sets, five orders each, rewards learnt at once and 100 rounds late. Ours has one configuration and
learns its scaling from the stream. Each peer is tuned, knows the means and deviations of all data beforehand,
and counts with the best of its settings for that data set and delay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from shared.cli.benchmarks.labelled_rows import SEPARATORS, load_rows
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import ROOT, ProcessFailed, peer_command
from shared.cli.output import say

SHUFFLES = 5
DELAYS = {"at once": 0, "delayed": 100}
"""Rounds between a choice and its reward."""
PEERS = ("vw", "mabwiser", "river")
LIMIT_S = 1800.0
"""For one library at one delay; a minute or two is usual."""

Means = Mapping[str, Mapping[str, float]]
"""Data set → setting → mean reward."""


def run() -> dict[str, Any]:
    """Measure. Raises ProcessFailed, OSError."""
    on = machine()
    with tempfile.TemporaryDirectory(prefix="streamwheel-regret-") as folder:
        raw, standardised = _write_rows(Path(folder))
        # Rewards do not depend on the time a round takes, so the programs may run beside each other.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            running = {
                (library, mode): pool.submit(_play, library, raw if library == OURS else standardised, delay)
                for library in (OURS, *PEERS)
                for mode, delay in DELAYS.items()
            }
            found = {key: each.result() for key, each in running.items()}
    return _result(found, on)


OURS = "streamwheel"


def _write_rows(folder: Path) -> tuple[Path, Path]:
    raw, standardised = folder / "raw", folder / "standardised"
    for each in (raw, standardised):
        each.mkdir()
    for name in SEPARATORS:
        orders = [load_rows(name).shuffled(seed) for seed in range(SHUFFLES)]
        np.save(raw / f"{name}.features.npy", np.stack([rows.features for rows in orders]))
        np.save(standardised / f"{name}.features.npy", np.stack([rows.standardised() for rows in orders]))
        for each in (raw, standardised):
            np.save(each / f"{name}.classes.npy", np.stack([rows.classes for rows in orders]))
    return raw, standardised


def _play(library: str, folder: Path, delay: int) -> Means:
    program = f"{library}_regret"
    if library == OURS:
        command = [sys.executable, "-m", f"{__package__}.peers.{program}", str(folder), str(delay)]
    else:
        command = peer_command(program, str(folder), str(delay))
    say(f"{library}, rewards {delay} rounds late")
    # One thread each: the programs share the cores already.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode:
        raise ProcessFailed(
            f"{program}: exit code {done.returncode}; the end of its log:\n{done.stderr[-2000:]}"
        )
    means: Means = json.loads(done.stdout)
    return means


def _result(found: Mapping[tuple[str, str], Means], on: dict[str, Any]) -> dict[str, Any]:
    figures, peers, ratios, settings = {}, {}, {}, {}
    for name in SEPARATORS:
        for mode in DELAYS:
            case = f"{name} {mode}"
            ours = found[OURS, mode][name]
            figures[case] = round(ours["default"], 4)
            for setting in ours:
                if setting != "default":
                    figures[f"{case}, {setting}"] = round(ours[setting], 4)
            for library in PEERS:
                setting, mean = max(found[library, mode][name].items(), key=lambda item: item[1])
                peers[f"{library} {case}"] = round(mean, 4)
                settings[f"{library} {case}"] = setting
                ratios[f"{library} {case}"] = round(ours["default"] / mean, 3)
    return {
        "benchmark": "regret",
        "figures": {**figures, "shuffles": SHUFFLES, "rounds_delayed": DELAYS["delayed"]},
        "peers": peers,
        "ratios": ratios,
        "best_settings": settings,
        "machine": on,
    }
