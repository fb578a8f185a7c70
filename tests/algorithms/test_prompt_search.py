"""The best combination of a prompt's slots, also one that nobody tried."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from shared.algorithms.contract import NotTrainable
from shared.algorithms.prompt_search.policy import VariantPolicy
from shared.algorithms.prompt_search.report import performance, preferences, recommendations
from shared.algorithms.prompt_search.train import train
from shared.applications.voice_assistant.variants import read_variants
from tests.algorithms.tiny.prompt_search import EFFECTS, calls, dataset, truth
from tests.algorithms.training import silent, tiny_parameters


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    parameters = tiny_parameters("prompt_search", trees=100)
    train(dataset(calls(3000)), parameters, 0, folder, silent)
    return folder


def test_the_best_combination_is_found_though_no_call_had_it(out: Path) -> None:
    grid = read_variants().grid()
    best = max(grid, key=truth)
    assert best not in read_variants().variants.values()
    top = json.loads((out / "top.json").read_text())
    assert best in [each["slots"] for each in top]
    assert [each["rank"] for each in top] == [1, 2, 3, 4, 5]
    assert all(0 <= each["confidence"] <= 1 for each in top)


def test_every_combination_is_ranked_as_it_truly_is(out: Path) -> None:
    grid = json.loads((out / "grid.json").read_text())
    assert len(grid) == 48
    found = pl.DataFrame(
        {
            "truth": [truth(each["slots"]) for each in grid],
            "guess": [each["predicted_reward"] for each in grid],
        }
    )
    assert found.select(pl.corr("truth", "guess", method="spearman")).item() > 0.8


def test_what_is_exported_is_the_same_in_yaml(out: Path) -> None:
    assert yaml.safe_load((out / "top.yaml").read_text()) == json.loads((out / "top.json").read_text())


def test_a_prediction_above_the_limit_is_recommended_highly(tmp_path: Path) -> None:
    train(dataset(), tiny_parameters("prompt_search", high=0.2), 0, tmp_path, silent)
    top = json.loads((tmp_path / "top.json").read_text())
    assert {each["predicted_reward"] > 0.2: each["recommendation"] for each in top}[True] == "high"


def test_the_policy_takes_the_best_of_the_variants_that_exist(out: Path) -> None:
    policy = VariantPolicy.load(out / "policy.json")
    found = policy.probabilities(np.eye(8)[:3])
    variants = read_variants().variants
    best = max(variants, key=lambda name: truth(variants[name]))
    assert [policy.actions[i] for i in found.argmax(axis=1)] == [best] * 3


def test_only_what_matters_is_important(out: Path) -> None:
    importances = json.loads((out / "report.json").read_text())["importances"]
    slots = {name.partition("=")[2]: value for name, value in importances.items() if "=" in name}
    assert sum(slots[value] for value in EFFECTS) > sum(importances[name] for name in ("hour", "weekend"))
    assert sum(importances.values()) == pytest.approx(1)


def rows(**rewards: list[float]) -> pl.DataFrame:
    """Calls of these rewards, by variant, each of its own profile's name before the underscore."""
    names = [name for name, values in rewards.items() for _ in values]
    values = [value for each in rewards.values() for value in each]
    return calls(len(names)).with_columns(
        variant=pl.Series([name.partition("_")[2] for name in names]),
        profile=pl.Series([name.partition("_")[0] for name in names]),
        reward=pl.Series(values, dtype=pl.Float64),
    )


def test_a_variant_is_preferred_where_it_is_better_by_more_than_the_gap() -> None:
    frame = rows(kfz_v1a=[0.5] * 10, kfz_v1b=[0.39] * 10, it_v1a=[0.5] * 10, it_v1b=[0.45] * 10)
    [pair] = preferences(frame, 0.1)
    assert pair == {"profile": "kfz", "preferred": "v1a", "rejected": "v1b", "margin": pytest.approx(0.11)}


def test_recommendations_are_the_guards() -> None:
    frame = rows(
        kfz_v1a=[-0.5] * 30, kfz_v1b=[-0.3] * 20, kfz_v1c=[-0.9] * 19, kfz_v1d=[0.4] * 25, kfz_v2a=[1] * 3
    )
    found = recommendations(frame)
    assert found["blacklist"] == ["v1b"]
    assert found["promote"] == "v1d"


def test_performance_leaves_out_what_no_call_told() -> None:
    frame = calls(50).with_columns(
        escalation=pl.lit(None, pl.Float64), duration_sec=pl.lit(120.0), barge_in_count=pl.lit(2.0)
    )
    for each in performance(frame):
        assert each["escalation_rate"] is None
        assert each["barge_ins_per_minute"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit("v1a").alias("variant"), "all are v1a"),
        (pl.lit("v9z").alias("variant"), "v9z: no variants with slots"),
        (pl.lit("dogs").alias("profile"), "dogs: no profiles"),
        (pl.lit(0.5).alias("reward"), "all are 0.5"),
        (pl.lit(float("nan")).alias("reward"), "calls.reward: 600 values are NaN"),
        (pl.int_range(pl.len()).mul(86_400_000).alias("time"), "30 calls, at least 100"),
    ],
)
def test_calls_that_teach_nothing_are_refused(change: pl.Expr, message: str, tmp_path: Path) -> None:
    data = replace(dataset(), tables={"calls": calls().with_columns(change)})
    with pytest.raises(NotTrainable, match=message):
        train(data, tiny_parameters("prompt_search"), 0, tmp_path, silent)
    assert not list(tmp_path.iterdir())
