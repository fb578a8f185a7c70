"""streamwheel evaluate as tests call it, and logs for it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import typer
from click.testing import Result
from typer.testing import CliRunner

from shared.cli.commands_evaluate import register

OBD = Path(__file__).parents[1] / "data" / "evaluation" / "obd_men"
FIXED = ["n", "effective_sample_size", "max_weight", "baseline", "estimates", "verdict", "reasons"]

app = typer.Typer()
register(app)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def answer(*arguments: object) -> dict:
    done = run(*arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def columns(rows=2000, seed=0):
    """A sound log of two actions, with a reward model."""
    draw = np.random.default_rng(seed)
    context = draw.random(rows)
    first, target = 0.2 + 0.6 * context, 0.3 + 0.5 * context
    taken = draw.random(rows) < first
    return {
        "reward": (draw.random(rows) < np.where(taken, 0.6, 0.3)).astype(float),
        "propensity": np.where(taken, first, 1 - first),
        "target_propensity": np.where(taken, target, 1 - target),
        "q_logged": np.where(taken, 0.55, 0.35),
        "q_target": 0.55 * target + 0.35 * (1 - target),
    }


def write(path: Path, data: dict) -> Path:
    frame = pl.DataFrame(data)
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    return path
