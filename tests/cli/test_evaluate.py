"""streamwheel evaluate: its answer on real and on broken logs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shared.cli.benchmarks.labelled_rows import SEPARATORS, load_rows
from shared.cli.benchmarks.protocol import estimates
from tests.cli.evaluating import FIXED, OBD, answer, columns, run, write


@pytest.fixture(scope="module")
def open_bandit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Open Bandit, men: logged at random; the target takes each item as often as Thompson sampling did on
    average at that position."""
    logged, thompson = (pl.read_parquet(OBD / f"{name}.parquet") for name in ("random", "bts"))
    place = ["item_id", "position"]
    target = (
        thompson.group_by(place)
        .agg(pl.col("propensity_score").mean().alias("mean"))
        .with_columns((pl.col("mean") / pl.col("mean").sum().over("position")).alias("target_propensity"))
    )
    joined = logged.join(target, on=place, how="left", maintain_order="left")
    path = tmp_path_factory.mktemp("obd") / "men.parquet"
    renamed = joined.select(
        pl.col("click").alias("reward"), pl.col("propensity_score").alias("propensity"), "target_propensity"
    )
    renamed.write_parquet(path)
    return path


def test_open_bandits_interval_holds_what_the_other_policy_earned(open_bandit: Path) -> None:
    found = answer(open_bandit)
    truth = float(pl.read_parquet(OBD / "bts.parquet")["click"].mean())
    assert truth == 0.0069
    assert found["n"] == 10_000
    assert found["effective_sample_size"] == pytest.approx(4120, abs=1)
    assert found["estimates"]["ips"]["value"] == pytest.approx(0.0055, abs=0.00005)
    for name in ("ips", "snips"):
        ends = found["estimates"][name]
        assert ends["low"] < truth < ends["high"]
    assert found["estimates"]["ips"]["low"] == pytest.approx(0.0033, abs=0.0002)
    assert found["estimates"]["ips"]["high"] == pytest.approx(0.0081, abs=0.0003)
    assert found["baseline"]["value"] == pytest.approx(0.0046)
    assert found["verdict"] == "inconclusive"


def test_open_bandit_equals_a_loop(open_bandit: Path) -> None:
    found = answer(open_bandit)
    rows = pl.read_parquet(open_bandit).iter_rows()
    weighted = weights = squares = 0.0
    for reward, propensity, target in rows:
        weight = target / propensity
        weighted, weights, squares = weighted + weight * reward, weights + weight, squares + weight**2
    assert found["estimates"]["ips"]["value"] == pytest.approx(weighted / 10_000, rel=1e-9)
    assert found["estimates"]["snips"]["value"] == pytest.approx(weighted / weights, rel=1e-9)
    assert found["effective_sample_size"] == pytest.approx(weights**2 / squares, rel=1e-9)


@pytest.mark.parametrize("name", SEPARATORS)
def test_classification_as_a_bandit_is_estimated_to_within_its_published_kind(name: str) -> None:
    rows = load_rows(name).shuffled(0)
    features, classes = rows.standardised(), rows.classes
    train = len(classes) // 5
    behaviour, target = (_classifier(features, classes, train, *each) for each in ((1.0, 4.0), (50.0, 12.0)))
    features, classes = features[train:], classes[train:]
    truth = float(target[np.arange(len(classes)), classes].mean())
    draw, errors = np.random.default_rng(1), {"ips": [], "dr": []}
    for _ in range(30):
        chosen = draw.integers(len(classes), size=1000)
        totals = np.cumsum(behaviour[chosen], axis=1)
        actions = np.minimum((totals < draw.random((1000, 1))).sum(axis=1), behaviour.shape[1] - 1)
        reward = (actions == classes[chosen]).astype(float)
        found = estimates(features[chosen], actions, reward, behaviour[chosen], target[chosen])
        for each, values in errors.items():
            values.append(found[each] - truth)
    error = {each: float(np.sqrt(np.mean(np.square(values)))) for each, values in errors.items()}
    assert error["ips"] < 0.03
    assert error["dr"] < 1.1 * error["ips"]


def _classifier(features, classes, train, ridge, sharpness):
    """A softmax over ridge regressions of the classes, mixed with a tenth of uniform choice."""
    wide = np.column_stack([features, np.ones(len(features))])
    known, wanted = wide[:train], np.eye(classes.max() + 1)[classes[:train]]
    scores = wide @ np.linalg.solve(known.T @ known + ridge * np.eye(wide.shape[1]), known.T @ wanted)
    powers = np.exp(sharpness * scores)
    return 0.9 * powers / powers.sum(axis=1, keepdims=True) + 0.1 / wanted.shape[1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_the_answer_has_the_fixed_shape_from_either_format(tmp_path: Path, suffix: str) -> None:
    found = answer(write(tmp_path / f"log.{suffix}", columns()))
    assert list(found) == FIXED
    assert set(found["estimates"]) >= {"ips", "snips", "dm", "dr"}
    for each in [found["baseline"], *found["estimates"].values()]:
        assert list(each) == ["value", "low", "high"]
        assert each["low"] <= each["value"] <= each["high"]
    assert found["verdict"] in ("pass", "fail", "inconclusive")
    assert all(set(reason) == {"name", "value", "limit", "detail"} for reason in found["reasons"])


def test_both_formats_and_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    csv, parquet = (write(tmp_path / name, columns()) for name in ("log.csv", "log.parquet"))
    assert run(csv).stdout == run(parquet).stdout == run(csv, "--seed", 0).stdout
    assert run(csv, "--seed", 1).stdout != run(csv).stdout


def test_without_a_model_there_is_no_model_based_estimate(tmp_path: Path) -> None:
    data = columns()
    del data["q_logged"], data["q_target"]
    assert set(answer(write(tmp_path / "log.csv", data))["estimates"]) == {"ips", "snips", "clipped_ips"}


def test_exploding_weights_are_refused_with_their_numbers(tmp_path: Path) -> None:
    data = columns()
    data["propensity"][::250] = 1e-5
    found = answer(write(tmp_path / "log.csv", data))
    assert found["verdict"] == "refused"
    reasons = {reason["name"]: reason for reason in found["reasons"]}
    assert reasons["effective-sample-size"]["value"] < reasons["effective-sample-size"]["limit"] == 100
    assert reasons["maximum-weight"]["value"] > reasons["maximum-weight"]["limit"]


def test_subjects_may_be_names_and_widen_the_interval(tmp_path: Path) -> None:
    data = columns()
    data["reward"] = np.repeat(np.random.default_rng(0).random(100), 20)
    alone = answer(write(tmp_path / "alone.csv", data))["estimates"]["snips"]
    names = np.repeat([f"subject {n}" for n in range(100)], 20)
    together = answer(write(tmp_path / "together.csv", data | {"cluster": names}))["estimates"]["snips"]
    assert together["value"] == pytest.approx(alone["value"])
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


def test_the_baseline_is_a_number_or_a_column_or_the_log(tmp_path: Path) -> None:
    data = columns() | {"stable": columns()["target_propensity"]}
    log = write(tmp_path / "log.parquet", data)
    logged = answer(log)["baseline"]["value"]
    assert logged == pytest.approx(float(data["reward"].mean()))
    given = answer(log, "--baseline", "0.1")
    assert given["baseline"] == {"value": 0.1, "low": 0.1, "high": 0.1}
    assert given["verdict"] == "pass"
    assert answer(log, "--baseline", "0.9")["verdict"] == "fail"
    same = answer(log, "--baseline", "stable", "--estimator", "snips")
    assert same["baseline"]["value"] == pytest.approx(same["estimates"]["snips"]["value"])
    assert same["reasons"][0]["value"] is None


def test_guards_and_other_intervals_are_told_in_full(tmp_path: Path) -> None:
    data = columns()
    slow = data["target_propensity"] > data["propensity"]
    log = write(tmp_path / "log.csv", data | {"latency": np.where(slow, 9.0, 1.0)})
    found = answer(log, "--full", "--guard", "latency:lower:0.01")
    assert [each["metric"] for each in found["metrics"]] == ["reward", "latency"]
    assert found["metrics"][1]["verdict"] == found["verdict"] == "fail"
    beside = found["intervals"]["ips"]
    assert beside["confidence_sequence"]["low"] < found["estimates"]["ips"]["low"]
    assert beside["empirical_bernstein"]["high"] > found["estimates"]["ips"]["high"]
    assert found["intervals"]["snips"]["empirical_bernstein"] is None
    assert found["decided_by"] == "dr"


def test_a_smaller_alpha_is_a_wider_interval(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", columns())
    wide, narrow = (answer(log, "--alpha", alpha)["estimates"]["ips"] for alpha in (0.01, 0.2))
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_weights_that_were_to_be_expected_refuse_a_log_in_which_none_was_heavy(tmp_path: Path) -> None:
    data = columns() | {"weight_square": np.full(2000, 9.0), "weight_fourth": np.full(2000, 1e5)}
    found = answer(write(tmp_path / "log.csv", data))
    (reason,) = (each for each in found["reasons"] if each["name"] == "tail-weight")
    assert (found["verdict"], reason["limit"]) == ("refused", 10)
    assert reason["value"] == pytest.approx((2000 * 9.0) ** 2 / (2000 * 1e5))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("propensity", 0.0),
        ("propensity", 1.5),
        ("reward", math.nan),
        ("reward", math.inf),
        ("reward", None),
        ("target_propensity", -0.25),
        ("target_propensity", 1.25),
        ("q_logged", math.nan),
        ("q_target", -math.inf),
        ("weight_square", -1.0),
        ("weight_fourth", math.inf),
    ],
)
def test_a_broken_value_is_named_by_column_and_row(tmp_path: Path, column: str, value, suffix: str) -> None:
    data = {name: each.tolist() for name, each in columns(300).items()}
    data |= {"weight_square": [1.0] * 300, "weight_fourth": [3.0] * 300}
    data[column][170] = value
    data[column][200] = value
    log = write(tmp_path / f"log.{suffix}", data)
    done = run(log)
    assert done.exit_code == 2
    assert f"column {column}, row 171: " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("reward,propensity,target_propensity\n", "no rows"),
        (
            "reward,propensity\n1,1\n",
            "column target_propensity is missing; the columns are: reward, propensity",
        ),
        ("reward,propensity,target_propensity\n1,.5,.5\nmuch,.5,.5\n", "column reward, row 2: much"),
        ("reward,propensity,target_propensity\n1,.5,.5,7\n", "more fields"),
        ("reward,propensity,target_propensity,q_target\n1,.5,.5,7\n", "column q_logged is missing"),
        ("reward,propensity,target_propensity,weight_square\n1,.5,.5,7\n", "column weight_fourth is missing"),
        (
            "reward,propensity,target_propensity,cluster\n1,.5,.5,a\n1,.5,.5,\n",
            "column cluster, row 2: nothing",
        ),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    log = tmp_path / "log.csv"
    log.write_text(text)
    done = run(log)
    assert done.exit_code == 2
    assert words in done.stderr
    assert str(log) in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--alpha", "1.5"], "alpha is 1.5"),
        (["--baseline", "nowhere"], "column nowhere is missing"),
        (["--baseline", "inf"], "baseline is inf"),
        (["--estimator", "magic"], "there are: ips, snips"),
        (["--guard", "reward:sideways"], "not one of higher, lower"),
        (["--guard", "reward:higher:much"], "'much' is not a number"),
        (["--guard", "nowhere"], "column nowhere is missing"),
        (["--report", "/nowhere/page.html"], "/nowhere/page.html: No such file"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: list[str], words: str) -> None:
    done = run(write(tmp_path / "log.csv", columns(300)), *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_not_there_or_was_cut_is_named(tmp_path: Path) -> None:
    assert "No such file" in run(tmp_path / "none.csv").stderr
    whole = write(tmp_path / "log.parquet", columns())
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:900])
    done = run(cut)
    assert done.exit_code == 2
    assert str(cut) in done.stderr


def test_the_command_is_installed_and_keeps_stdout_for_machines(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", columns(300))
    command = [sys.executable, "-m", "shared.cli", "evaluate", str(log), "--report", str(tmp_path / "p.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == FIXED
    assert "p.html" in done.stderr


def test_metrics_are_told_with_intervals_and_decide_nothing(tmp_path: Path) -> None:
    data = columns()
    slow = data["target_propensity"] > data["propensity"]
    log = write(tmp_path / "log.csv", data | {"latency": np.where(slow, 9.0, 1.0)})
    plain, found = answer(log), answer(log, "--metric", "latency")
    assert list(found) == [*FIXED, "outcomes"]
    assert {name: found[name] for name in FIXED} == plain
    latency = found["outcomes"]["latency"]
    assert latency["low"] < latency["value"] < latency["high"]
    assert latency["baseline"] == pytest.approx(float(np.where(slow, 9.0, 1.0).mean()))
    assert latency["difference"]["value"] == pytest.approx(latency["value"] - latency["baseline"])


def test_an_applications_metrics_are_made_of_its_components(tmp_path: Path) -> None:
    data = columns()
    bought = data["reward"] > 0
    parts = {"purchase": 4.0 * bought, "first_rank": 2.0 * bought, "hits_at_10": 1.0 * bought}
    parts |= {"hits": 1.0 * bought, "dcg_at_10": bought / np.log2(3)}
    log = write(tmp_path / "log.parquet", data | parts)
    found = answer(log, "--application", "search_ranking")["outcomes"]
    assert list(found) == ["conversion", "mrr", "precision_at_10", "ndcg_at_10"]
    assert found["mrr"]["value"] == pytest.approx(found["conversion"]["value"] / 2)
    assert found["ndcg_at_10"]["value"] == pytest.approx(found["conversion"]["value"] / np.log2(3))
    del parts["dcg_at_10"]
    several = write(tmp_path / "several.parquet", data | parts)
    assert "ndcg_at_10" not in answer(several, "--application", "search_ranking")["outcomes"]
    for name, words in (
        ("entertainment", "no metric of entertainment can be told"),
        ("x", "there are assistant"),
    ):
        done = run(log, "--application", name)
        assert done.exit_code == 2
        assert words in done.stderr
