"""The benchmark of vectors: logs whose truth is known, and sizes by flag."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from typer.testing import CliRunner

from shared.cli.benchmarks import vector_logs
from shared.cli.main import app


@pytest.mark.parametrize("world", [vector_logs.smooth, vector_logs.kinked, vector_logs.ranking])
def test_logged_densities_weigh_any_log_to_one(world: Callable[[], vector_logs.World]) -> None:
    """The mean over a density's own draws of 1 / density is the volume that it covers; so of any function."""
    found = world()
    log = found.draw(np.random.default_rng(1), 20_000)
    size = 6 if log.taken.shape[1] == 7 else 2
    inner = log.taken[:, :size]
    around, spread = inner.mean(axis=0), inner.std(axis=0) / 2
    kernel = np.exp(-0.5 * ((inner - around) / spread) ** 2).prod(axis=1)
    weight = kernel / (spread * np.sqrt(2 * np.pi)).prod() / log.density
    assert weight.mean() == pytest.approx(1, abs=4 * weight.std() / len(weight) ** 0.5)


def test_sizes_are_flags_and_wrong_ones_are_named() -> None:
    sizes = {"logs": 2, "rows": 300, "search_logs": 1, "searches": 3000}
    flags = [each for name, value in sizes.items() for each in ("--size", f"{name}={value}")]
    found = CliRunner().invoke(app, ["benchmark", "vectors", "--json", *flags])
    figures = json.loads(found.stdout)["figures"]
    assert figures["seven weights, 3000 decisions, logged density: answered"] == "0 of 1"
    assert figures["two numbers, 300 decisions, logged density: effective sample size"] > 1
    for wrong, words in (("rows=0", "at least 1"), ("row=5", "logs, rows"), ("rows", "NAME=NUMBER")):
        refused = CliRunner().invoke(app, ["benchmark", "vectors", "--size", wrong])
        assert refused.exit_code == 2
        assert words in refused.stderr
    none = CliRunner().invoke(app, ["benchmark", "protocol", "--size", "rows=5"])
    assert (none.exit_code, "its sizes are: none" in none.stderr) == (2, True)
