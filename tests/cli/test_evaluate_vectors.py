"""streamwheel evaluate on logs whose actions are vectors of numbers."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.cli.evaluating import FIXED, answer, run, write


def vectors(rows=3000, seed=0):
    """Vectors around half the context; the policy's are nearer to what earns most, the context."""
    draw = np.random.default_rng(seed)
    context = draw.standard_normal((rows, 2))
    taken = 0.5 * context + 0.7 * draw.standard_normal((rows, 2))
    apart = (taken - 0.5 * context) / 0.7
    columns = {"reward": 1 - ((taken - context) ** 2).sum(axis=1) + 0.5 * draw.standard_normal(rows)}
    for place, name in enumerate(("loud", "fast")):
        columns[f"action_{name}"] = taken[:, place]
        columns[f"target_{name}"] = 0.7 * context[:, place]
        columns[f"context_{name}"] = context[:, place]
    return columns | {"density": np.exp(-0.5 * (apart**2).sum(axis=1)) / (2 * np.pi * 0.49)}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_log_of_vectors_is_judged_and_says_where_its_densities_are_from(
    tmp_path: Path, suffix: str
) -> None:
    data = vectors()
    logged = answer(write(tmp_path / f"logged.{suffix}", data))
    page = tmp_path / "page.html"
    del data["density"]
    estimated = answer(write(tmp_path / f"log.{suffix}", data), "--report", page)
    for found, basis in ((logged, "logged"), (estimated, "estimated")):
        assert list(found) == [*FIXED, "density"]
        assert found["verdict"] == "pass"
        assert found["reasons"][-1]["name"] == f"{basis}-density"
        ends = found["estimates"]["dr"]
        assert ends["low"] < 1 - 2 * 0.3**2 < ends["high"]
    assert (logged["density"]["logged"], logged["density"]["estimated"]) == (3000, 0)
    assert estimated["density"]["estimated"] == 3000
    assert estimated["density"]["form"] == {"components": 1, "conditional": True}
    assert "no density was logged: it is an estimate" in page.read_text(encoding="utf-8")


def test_the_bandwidth_may_be_given_and_too_wide_a_one_is_refused(tmp_path: Path) -> None:
    data = vectors()
    data["reward"] = np.exp(
        -12 * sum((data[f"action_{n}"] - data[f"target_{n}"]) ** 2 for n in ("loud", "fast"))
    )
    log = write(tmp_path / "log.parquet", data)
    assert answer(log)["density"]["bandwidth"] == pytest.approx(3000**-0.25)
    wide = answer(log, "--bandwidth", "0.3")
    assert (wide["verdict"], wide["density"]["bandwidth"]) == ("refused", 0.3)
    assert "smoothing-bias" in {reason["name"] for reason in wide["reasons"]}


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"density": 0.0}, [], "column density, row 8: 0.0; it must be a finite number above zero"),
        ({"action_loud": math.nan}, [], "column action_loud, row 8: nan; it must be a finite number"),
        ({"target_fast": math.inf}, [], "column target_fast, row 8"),
        ({"reward": None}, [], "column reward, row 8: nothing"),
        ({}, ["--bandwidth", "-1"], "--bandwidth -1.0: must be"),
        ({}, ["--baseline", "reward"], "a log of vectors has no propensities"),
        ({}, ["--application", "search_ranking"], "name columns of a log of vectors with --metric"),
        ({}, ["--metric", "cost"], "column cost is missing"),
    ],
    ids=str,
)
def test_broken_logs_of_vectors_are_named(tmp_path: Path, changes: dict, options: list, words: str) -> None:
    data = {name: each.tolist() for name, each in vectors(200).items()}
    for name, value in changes.items():
        data[name][7] = value
    done = run(write(tmp_path / "log.parquet", data), *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_vectors_need_the_policys_and_some_rows(tmp_path: Path) -> None:
    data = vectors(200)
    del data["target_fast"]
    assert "column target_fast is missing" in run(write(tmp_path / "a.csv", data)).stderr
    few = run(write(tmp_path / "b.csv", vectors(4)))
    assert (few.exit_code, few.stdout) == (2, "")
    assert "4 decisions; at least 5" in few.stderr
