"""`streamwheel train`, from lines to a candidate."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from shared.algorithms.artefacts import load
from shared.algorithms.registry import algorithms
from shared.cli.main import app

SHOP = """
application: shop
features: [{name: x, type: numeric}, {name: y, type: numeric}]
actions: ["no", "yes"]
reward: {default: 0}
"""


@pytest.fixture
def shop(tmp_path: Path) -> list[str]:
    folder = tmp_path / "applications"
    folder.mkdir()
    (folder / "shop.yaml").write_text(SHOP)
    return ["--applications", str(folder), "--out", str(tmp_path / "candidates")]


def line(i: int, random: np.random.Generator, **more: Any) -> dict[str, Any]:
    x, y = random.standard_normal(2).round(3)
    action = ["no", "yes"][int(random.integers(2))]
    right = (action == "yes") == (x > 0)
    return {
        "subject_id": f"s{i % 100}",
        "time": i,
        "context": {"x": x, "y": y},
        "action": action,
        "propensity": 0.5,
        "interactions": [{"type": "bought", "value": 1}] if right else [],
    } | more


def write(file: Path, lines: list[dict[str, Any]]) -> Path:
    file.write_text("\n".join(json.dumps(each) for each in lines) + "\n\n")
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    return write(tmp_path / "shop.jsonl", [line(i, random) for i in range(400)])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_it_trains_and_keeps_a_candidate(shop: list[str], data: Path, tmp_path: Path) -> None:
    done = run("shop", "--data", data, *shop, "--ridge", "0.5", "--seed", 3)
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    made = load(tmp_path / "candidates" / said["candidate"], said["candidate"])
    assert made.manifest.parameters["ridge"] == 0.5
    assert made.manifest.seed == 3
    assert said["metrics"]["gain_low"] > 0
    assert made.manifest.lineage[0].file == "shop.jsonl"
    assert made.manifest.lineage[0].rows == 400


def test_archived_rewards_train_the_same_policy_as_lines(shop: list[str], data: Path, tmp_path: Path) -> None:
    """As the archive has them: the decision inside, several revisions of a reward."""
    import polars as pl

    from shared.algorithms.reading.files import read_file
    from shared.applications.registry import load as applications

    table = read_file(applications([tmp_path / "applications"])["shop"], data).tables["rewards"]
    inside = ["decision_id", "subject_id", "context", "attributes", "action", "propensity"]
    records = table.select(
        pl.struct(inside).alias("decision"), "reward", pl.col("time").alias("decision_time"), revision=1
    )
    first = records.head(50).with_columns(reward=pl.lit(-9.0), revision=pl.lit(0, pl.Int32))
    file = tmp_path / "rewards.parquet"
    pl.concat([records, first]).write_parquet(file)
    lines, archive = (json.loads(run("shop", "--data", each, *shop).stdout) for each in (data, file))
    assert archive["metrics"] == lines["metrics"]


def test_a_dry_run_trains_nothing(shop: list[str], data: Path, tmp_path: Path) -> None:
    done = run("shop", "--data", data, *shop, "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["data"]["rewards"] == 400
    assert not (tmp_path / "candidates").exists()


def test_flags_outrank_yaml_and_yaml_the_preset(shop: list[str], data: Path, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("ridge: 2\nfolds: 3\n")
    arguments = ["--dry-run", "--preset", "straight", "--parameters", tmp_path / "p.yaml", "--folds", "4"]
    said = json.loads(run("shop", "--data", data, *shop, *arguments).stdout)["parameters"]
    assert (said["map"], said["ridge"], said["folds"]) == ("linear", 2, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ridge", "-1"], "ridge: Input should be greater than 0"),
        (["--ridge", "nan"], "ridge: Input should be a finite number"),
        (["--preset", "fast"], "preset: 'fast' is not one of default, straight"),
        (["--algorithm", "cql"], "'cql' is"),
        (["--speed", "1"], "No such option: --speed"),
        (["--log-level", "loud"], "--log-level: 'loud'"),
    ],
)
def test_wrong_flags_are_named(shop: list[str], data: Path, arguments: list[str], message: str) -> None:
    done = run("shop", "--data", data, *shop, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not done.stdout


def test_wrong_lines_are_named_and_nothing_is_trained(shop: list[str], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [line(i, random) for i in range(200)]
    lines[3] |= {"propensity": 1.5}
    lines[7]["context"] = {"x": 1.0}
    lines[9] |= {"action": "maybe"}
    lines[11]["interactions"] = [{"type": "bought", "value": "much"}]
    file = write(tmp_path / "bad.jsonl", lines)
    with file.open("a") as more:
        more.write("{\n[1]\n")
    done = run("shop", "--data", file, *shop)
    assert done.exit_code == 2
    assert not (tmp_path / "candidates").exists()
    for place in (
        "line 4: propensity",
        "line 8: context.y",
        "line 10: action",
        "line 12: interactions[0].value",
        "line 202: line: no JSON",
        "line 203: line: must be an object",
    ):
        assert place in done.stderr


def test_of_many_wrong_lines_the_first_twenty_are_named(shop: list[str], tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n" * 50)
    done = run("shop", "--data", file, *shop)
    assert done.stderr.count("line ") == 20
    assert "30 more lines are wrong" in done.stderr


def test_data_that_teach_nothing_are_a_refusal(shop: list[str], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    file = write(tmp_path / "few.jsonl", [line(i, random) for i in range(20)])
    done = run("shop", "--data", file, *shop)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["status"] == "refused"
    assert "20 rows, at least 100 are needed" in done.stderr


def test_a_missing_file_is_bad_usage(shop: list[str], tmp_path: Path) -> None:
    done = run("shop", "--data", tmp_path / "none.jsonl", *shop)
    assert done.exit_code == 2
    assert "none.jsonl: No such file" in done.stderr


@pytest.mark.parametrize("name", algorithms())
def test_help_lists_every_hyper_parameter_with_its_default(name: str) -> None:
    declared = algorithms()[name].declaration
    application = declared.APPLICATIONS[0] if declared.APPLICATIONS else "optdigits"
    arguments = ["train", application, "--algorithm", name, "--help"]
    said = CliRunner().invoke(app, arguments, env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).stdout
    kind: Any = declared.Parameters
    for field in kind.__pydantic_fields__:
        assert f"--{field.replace('_', '-')} " in said
