"""streamwheel evaluate: its answer on real and on broken logs, and the page it writes."""

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from shared.cli.benchmarks.labelled_rows import SEPARATORS, load_rows
from shared.cli.benchmarks.protocol import estimates
from shared.cli.commands_evaluate import register
from shared.core.estimators.log import Logged
from shared.evaluation.segments import MOST, OTHERS, Segments
from shared.evaluation.timeline import STRETCHES, Timeline

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
    ],
)
def test_a_broken_value_is_named_by_column_and_row(tmp_path: Path, column: str, value, suffix: str) -> None:
    data = {name: each.tolist() for name, each in columns(300).items()}
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


class Tags(HTMLParser):
    """Open elements, which must close in order, and every attribute."""

    VOID = frozenset({"meta"})
    LOOSE = frozenset({"tr", "td", "th"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID | self.LOOSE:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in self.LOOSE:
            assert self.open.pop() == tag


def test_the_page_stands_alone_and_shows_everything(tmp_path: Path) -> None:
    segment = np.where(np.arange(2000) % 3 == 0, "<b>few & odd</b>", "many")
    log = write(tmp_path / "log.parquet", columns() | {"segment": segment})
    page = tmp_path / "page.html"
    found = answer(log, "--report", page)
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("svg") == 5
    assert not {"script", "link", "img", "iframe"} & set(tags.seen)
    assert not [value for name, value in tags.attributes if name in ("src", "href")]
    assert not re.search(r"https?://|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert "<b>few" not in text
    assert "&lt;b&gt;few &amp; odd" in text
    for title in ("Estimates", "Weights", "Reward over the log", "Effective sample over the log", "Segments"):
        assert f"<h2>{title}</h2>" in text
    assert f'class="verdict {found["verdict"]}"' in text
    assert f"{found['estimates']['dr']['value']:.4g}" in text


def test_a_page_can_be_written_of_a_log_without_any_weight(tmp_path: Path) -> None:
    data = columns(300)
    data["target_propensity"][:] = 0.0
    page = tmp_path / "page.html"
    found = answer(write(tmp_path / "log.csv", data), "--report", page)
    assert found["verdict"] == "refused"
    assert found["estimates"]["snips"] == {"value": None, "low": None, "high": None}
    assert "No decision has any weight." in page.read_text(encoding="utf-8")


def some(rows, seed=0):
    data = columns(rows, seed)
    return Logged(data["reward"], data["propensity"], data["target_propensity"])


def test_a_timeline_keeps_its_stretches_few_and_its_sums_whole() -> None:
    timeline = Timeline()
    logs = [some(rows, rows) for rows in (50, 30, 1000, 12)]
    for log in logs:
        timeline.add(log)
    assert timeline.length == 32
    rewards = np.concatenate([log.reward for log in logs])
    found = timeline.column("reward")
    assert len(found) == 1092 // 32 <= STRETCHES
    assert found == pytest.approx([rewards[n * 32 : n * 32 + 32].sum() for n in range(34)])


def test_segments_are_estimated_apart_and_late_ones_together() -> None:
    segments, log = Segments(), some(3000)
    names = [f"s{n % 60:02d}" for n in range(3000)]
    segments.add(log, names)
    found = {each.name: each for each in segments.estimates(0.05)}
    assert len(found) == MOST + 1
    assert found[OTHERS].rows == 3000 - 50 * MOST
    rows = np.arange(3000) % 60 == 7
    weight, reward = log.weight[rows], log.reward[rows]
    value = float((weight * reward).sum() / weight.sum())
    error = float(np.sqrt((weight**2 * (reward - value) ** 2).sum()) / weight.sum())
    assert found["s07"].value == pytest.approx(value)
    assert found["s07"].interval.high - value == pytest.approx(1.959964 * error)


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
