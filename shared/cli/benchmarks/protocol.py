"""ReAgent's classification protocol: root mean squared errors of our estimators beside obp's, same samples.

Labelled rows are contexts, classes are actions, the right class pays 1. A logging policy (logistic
regression) and a target policy (a linear SGD classifier), both learnt on a fifth of the rows and mixed with a
tenth of uniform choice, are compared over 100 samples of 1,000 decisions on the other rows. The truth is the
target's mean reward over all of these rows. Each side uses its own reward model.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from shared.cli.benchmarks.labelled_rows import SEPARATORS, load_rows
from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.processes import ROOT, ProcessFailed, peer_command
from shared.cli.output import say
from shared.core.arrays import Floats
from shared.core.estimators.log import Logged
from shared.core.estimators.registry import one_step
from shared.core.estimators.reward_model import RewardModel, scaled
from shared.core.estimators.summary import Summary
from shared.core.estimators.tuning import choose

TRAIN_SHARE, EPSILON, SAMPLES, SIZE = 0.2, 0.1, 100, 1000
SHUFFLE, SEED = 0, 1
LIMIT_S = 200.0
DIRECT = "dm"


def run() -> dict[str, Any]:
    """Measure. Raises ProcessFailed, OSError."""
    on = machine()
    figures: dict[str, float] = {}
    peers: dict[str, float] = {}
    for name in SEPARATORS:
        with tempfile.TemporaryDirectory(prefix="streamwheel-protocol-") as folder:
            ours, theirs, truth = _play(name, Path(folder))
        figures[f"{name} target's reward"] = round(truth, 4)
        figures |= {f"{name} {each}": _error(values, truth) for each, values in ours.items()}
        peers |= {f"obp {name} {each}": _error(values, truth) for each, values in theirs.items()}
    ratios = {name: round(figures[name.removeprefix("obp ")] / error, 3) for name, error in peers.items()}
    return {"benchmark": "protocol", "figures": figures, "peers": peers, "ratios": ratios, "machine": on}


def _error(values: list[float], truth: float) -> float:
    return round(float(np.sqrt(np.mean((np.array(values) - truth) ** 2))), 4)


def _play(name: str, folder: Path) -> tuple[Mapping[str, list[float]], Mapping[str, list[float]], float]:
    rows = load_rows(name).shuffled(SHUFFLE)
    train = int(TRAIN_SHARE * len(rows.classes))
    np.save(folder / "features.npy", rows.standardised())
    np.save(folder / "classes.npy", rows.classes)
    say(f"{name}: policies")
    _peer("policies", str(folder), str(train), str(EPSILON))
    behaviour, target = np.load(folder / "behaviour.npy"), np.load(folder / "target.npy")
    drawn, actions = _samples(behaviour)
    np.save(folder / "rows.npy", drawn)
    np.save(folder / "actions.npy", actions)
    classes = rows.classes[train:]
    truth = float(target[np.arange(len(classes)), classes].mean())
    say(f"{name}: {SAMPLES} samples")
    features = rows.standardised()[train:]
    ours: dict[str, list[float]] = {}
    for chosen, acted in zip(drawn, actions, strict=True):
        reward = (acted == classes[chosen]).astype(np.float64)
        found = estimates(features[chosen], acted, reward, behaviour[chosen], target[chosen])
        for each, value in found.items():
            ours.setdefault(each, []).append(value)
    return ours, json.loads(_peer("estimates", str(folder))), truth


def _samples(behaviour: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Rows and drawn actions (samples, size)."""
    draw = np.random.default_rng(SEED)
    rows = draw.integers(len(behaviour), size=(SAMPLES, SIZE))
    u = draw.random((SAMPLES, SIZE, 1))
    actions = (np.cumsum(behaviour, axis=1)[rows] < u).sum(axis=2)
    return rows, np.minimum(actions, behaviour.shape[1] - 1)


def estimates(
    contexts: Floats, actions: np.ndarray, reward: Floats, behaviour: Floats, target: Floats
) -> dict[str, float]:
    """Return each estimator's value on one sample, with a cross-fitted reward model.

    Args:
        contexts: (n, d).
        actions: (n,) logged actions.
        reward: (n,).
        behaviour: (n, k), the logging policy's distributions.
        target: (n, k), the target policy's.
    """
    propensity = behaviour[np.arange(len(actions)), actions]
    raw = RewardModel(seed=SEED).predict(contexts, actions, reward, propensity, target)
    chosen = target[np.arange(len(actions)), actions]
    log = Logged(reward, propensity, chosen, raw.q_logged, raw.q_target)
    best = scaled(raw, log.weight, reward)
    # Fading a model out helps the doubly robust estimates only: the direct method has nothing but the model.
    return _values(log) | _values(Logged(reward, propensity, chosen, best.q_logged, best.q_target), DIRECT)


def _values(log: Logged, without: str | None = None) -> dict[str, float]:
    summary = Summary(each for each in one_step() if each.name != without)
    summary.add(log)
    columns = summary.units.columns()
    families = [list(family) for _, family in groupby(summary.estimators, lambda each: each.name)]
    chosen = [choose(family, columns) for family in families]
    return {each.name: each.terms(log).value for each in chosen}


def _peer(*arguments: str) -> str:
    command = peer_command("obp_protocol", *arguments)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise ProcessFailed(f"obp: exit code {done.returncode}; its log ends:\n{done.stderr[-2000:]}")
    return done.stdout
