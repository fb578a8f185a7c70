"""Sequence estimators against loops and against dynamic programming."""

import numpy as np
import pytest

from shared.core.estimators.contract import estimate
from shared.core.estimators.sequences.fitted_q import FittedQ
from shared.core.estimators.sequences.per_decision import PerDecision
from shared.core.estimators.sequences.trajectories import Trajectories
from tests.core.estimators import plain
from tests.core.estimators.sequences import chain, value


def ragged():
    """Three trajectories of different lengths."""
    lengths = [3, 1, 2]
    draw = np.random.default_rng(0)
    count = sum(lengths)
    return Trajectories(
        trajectory=np.repeat(np.arange(3), lengths),
        reward=draw.normal(size=count),
        propensity=draw.uniform(0.2, 1.0, count),
        target_propensity=draw.uniform(0.0, 1.0, count),
        state=draw.normal(size=(count, 2)),
        action=draw.integers(2, size=count),
        target_probabilities=np.full((count, 2), 0.5),
        discount=0.7,
    ), lengths


def test_per_decision_weights_equal_a_loop():
    log, lengths = ragged()
    steps = iter(
        zip(log.reward.tolist(), log.propensity.tolist(), log.target_propensity.tolist(), strict=True)
    )
    nested = [[next(steps) for _ in range(length)] for length in lengths]
    assert estimate(PerDecision(), log) == pytest.approx(plain.pdis(nested, 0.7), rel=1e-9)


def test_per_decision_finds_the_value_of_another_policy():
    log = chain(trajectories=20_000, length=4, seed=3)
    assert estimate(PerDecision(), log) == pytest.approx(value(4), rel=0.03)


def test_fitted_q_finds_the_value_of_another_policy_over_a_long_chain():
    log = chain(trajectories=300, length=20, seed=4, discount=0.8, cut=True)
    assert estimate(FittedQ(), log) == pytest.approx(value(1000, 0.8), rel=0.02)


def test_fitted_q_takes_an_end_for_an_end():
    log = chain(trajectories=1000, length=5, seed=6)
    cut = chain(trajectories=1000, length=5, seed=6, cut=True)
    assert estimate(FittedQ(), cut) > 1.3 * estimate(FittedQ(), log)


def test_fitted_q_of_one_step_is_the_tables_mean():
    log = chain(trajectories=500, length=1, seed=5)
    means = [float(log.reward[log.action == action].mean()) for action in (0, 1)]
    assert estimate(FittedQ(ridge=1e-9), log) == pytest.approx(0.2 * means[0] + 0.8 * means[1], rel=1e-6)


def test_fitted_q_that_cannot_settle_says_so():
    # One feature, sixfold a step later: where that is all there is, each regression multiplies by six.
    log = Trajectories(
        trajectory=np.repeat(np.arange(20), 2),
        reward=np.ones(40),
        propensity=np.full(40, 0.5),
        target_propensity=np.full(40, 0.5),
        state=np.tile([[1.0], [6.0]], (20, 1)),
        action=np.zeros(40, np.int64),
        target_probabilities=np.ones((40, 1)),
    )
    with pytest.raises(ValueError, match="did not settle"):
        estimate(FittedQ(), Trajectories(**{**vars(log), "cut": True}))
    with pytest.raises(ValueError, match="did not settle within 3"):
        estimate(FittedQ(iterations=3), log)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trajectory": np.array([0, 0, 2, 2, 2, 3])}, "grow by 0 or 1"),
        ({"trajectory": np.array([1, 1, 1, 2, 2, 3])}, "must be 0 first"),
        ({"reward": np.ones(5)}, "reward has 5 rows"),
        ({"discount": 1.5}, "discount is 1.5"),
    ],
)
def test_broken_trajectories_are_named(change, words):
    log, _ = ragged()
    with pytest.raises(ValueError, match=words):
        Trajectories(**{**vars(log), **change})
