"""Doubly robust learning of linear policies."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shared.algorithms.contract import NotTrainable
from shared.algorithms.linear.policy import LinearPolicy
from shared.algorithms.linear.train import train
from tests.algorithms.tiny.linear import dataset, rewards
from tests.algorithms.training import silent, tiny_parameters


def test_it_learns_which_action_is_right_where(tmp_path: Path) -> None:
    metrics = train(dataset(), tiny_parameters("linear", floor=0.1), 0, tmp_path, silent)
    policy = LinearPolicy.load(tmp_path / "policy.json")
    contexts = np.random.default_rng(9).standard_normal((2000, 3))
    found = policy.probabilities(contexts)
    right = found[np.arange(2000), (contexts[:, 0] > 0).astype(int)]
    assert right.mean() > 0.9
    assert found.min() == pytest.approx(0.05)
    assert metrics["gain_low"] > 0.3
    # Always right but for the floor: 0.95 of the rewards, whose mean is 1.
    assert metrics["value_low"] < 0.95 < metrics["value_high"]


def test_the_estimate_is_right_though_the_reward_model_is_wrong(tmp_path: Path) -> None:
    """The reward depends on |x|, which no linear model sees: only the propensities can be right."""
    random = np.random.default_rng(2)
    frame = rewards(6000)
    first = np.abs(np.array(frame["context"].to_list())[:, 0])
    good = (frame["action"] == "yes").to_numpy() * np.minimum(first, 1.0)
    frame = frame.with_columns(pl.Series("reward", good + 0.01 * random.standard_normal(len(frame))))
    data = replace(dataset(), tables={"rewards": frame})
    metrics = train(data, tiny_parameters("linear", floor=0.1, map="linear"), 0, tmp_path, silent)
    truth = 0.95 * np.minimum(np.abs(random.standard_normal(200_000)), 1.0).mean()
    assert metrics["value_low"] < truth < metrics["value_high"]


def test_what_an_online_policy_logged_teaches_as_much_as_it_knew(tmp_path: Path) -> None:
    """It soon hardly explores: the few choices of tiny probability must not drown all the others."""
    random = np.random.default_rng(4)
    contexts = random.standard_normal((3000, 3))
    right = (contexts[:, 0] > 0) + 2 * (contexts[:, 1] > 0)
    wanted = np.where(contexts[:, 2] > 1.5, 0, right)  # it does not know everything
    exploring = np.arange(3000) < 800
    strays = exploring | (random.random(3000) < 0.004)
    chosen = np.where(strays, random.integers(4, size=3000), wanted)
    greedy = np.where(chosen == wanted, 0.997, 0.001)
    log = pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(3000)],
            "subject_id": [f"s{i}" for i in range(3000)],
            "time": np.arange(3000),
            "context": contexts.tolist(),
            "action": [f"a{each}" for each in chosen],
            "propensity": np.where(exploring, 0.25, greedy),
            "reward": (chosen == right) * 1.0,
        }
    )
    data = replace(dataset(), tables={"rewards": log}, actions=("a0", "a1", "a2", "a3"))
    train(data, tiny_parameters("linear"), 0, tmp_path, silent)
    fresh = random.standard_normal((4000, 3))
    best = (fresh[:, 0] > 0) + 2 * (fresh[:, 1] > 0)
    found = LinearPolicy.load(tmp_path / "policy.json").probabilities(fresh)[np.arange(4000), best].mean()
    assert found > 0.93 * (chosen == right)[~exploring].mean()


def test_a_never_tried_action_is_not_preferred(tmp_path: Path) -> None:
    data = replace(dataset(), actions=("no", "yes", "new"))
    train(data, tiny_parameters("linear"), 0, tmp_path, silent)
    found = LinearPolicy.load(tmp_path / "policy.json").probabilities(np.array([[3.0, 0, 0], [-3.0, 0, 0]]))
    assert found.argmax(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit("yes").alias("action"), "at least two actions"),
        (pl.lit("maybe").alias("action"), "rewards.action: maybe: no actions of shop"),
        (pl.lit(1.0).alias("reward"), "all are 1"),
        (pl.lit(0.0).alias("propensity"), "not within"),
        (pl.lit(float("nan")).alias("reward"), "rewards.reward: 600 values are NaN"),
        (pl.lit([1.0, float("nan"), 2.0]).alias("context"), "rewards.context: 600 values are NaN"),
        (pl.lit(None).alias("propensity"), "rewards.propensity: 600 rows have no value"),
        (pl.lit("one").alias("subject_id"), "all are of one subject"),
    ],
)
def test_data_that_teach_nothing_are_refused(change: pl.Expr, message: str, tmp_path: Path) -> None:
    data = replace(dataset(), tables={"rewards": rewards().with_columns(change)})
    with pytest.raises(NotTrainable, match=message):
        train(data, tiny_parameters("linear"), 0, tmp_path, silent)
    assert not list(tmp_path.iterdir())


def test_too_few_rewards_are_refused(tmp_path: Path) -> None:
    data = replace(dataset(), tables={"rewards": rewards(99)})
    with pytest.raises(NotTrainable, match="99 rows, at least 100"):
        train(data, tiny_parameters("linear"), 0, tmp_path, silent)


def test_a_policy_that_the_log_says_too_little_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotTrainable, match="effective sample of"):
        train(dataset(), tiny_parameters("linear", min_effective_sample=1000), 0, tmp_path, silent)
    assert not list(tmp_path.iterdir())
