"""Reward models that do not see what they predict, and propensities of several policies."""

import numpy as np
import pytest

from shared.core.estimators.contract import estimate
from shared.core.estimators.log import Logged
from shared.core.estimators.mixtures import balanced
from shared.core.estimators.registry import one_step
from shared.core.estimators.reward_model import Predictions, RewardModel, scaled


def world(rows=1500, seed=0):
    draw = np.random.default_rng(seed)
    contexts = draw.normal(size=(rows, 3))
    actions = draw.integers(2, size=rows)
    rewards = np.where(actions == 1, contexts @ [1.0, -1.0, 0.5], 0.3) + draw.normal(0, 0.1, rows)
    target = np.tile([0.2, 0.8], (rows, 1))
    return contexts, actions, rewards, np.full(rows, 0.5), target


def test_a_linear_reward_is_learnt():
    contexts, actions, rewards, propensity, target = world()
    found = RewardModel(ridge=0.1).predict(contexts, actions, rewards, propensity, target)
    assert np.corrcoef(found.q_logged, rewards)[0, 1] > 0.99
    expected = 0.2 * 0.3 + 0.8 * contexts @ [1.0, -1.0, 0.5]
    assert np.abs(found.q_target - expected).max() < 0.1


def test_no_row_is_predicted_from_itself():
    contexts, actions, rewards, propensity, target = world(300)
    model = RewardModel()
    before = model.predict(contexts, actions, rewards, propensity, target)
    rewards[7] += 1000.0
    after = model.predict(contexts, actions, rewards, propensity, target)
    same = before.fold == before.fold[7]
    assert np.array_equal(before.q_logged[same], after.q_logged[same])
    assert np.abs(before.q_target[~same] - after.q_target[~same]).max() > 1


def test_a_subjects_rows_are_predicted_together():
    contexts, actions, rewards, propensity, target = world(400)
    subject = np.arange(400, dtype=np.uint64) % np.uint64(25)
    found = RewardModel().predict(contexts, actions, rewards, propensity, target, subject)
    for each in range(25):
        assert len(set(found.fold[subject == each].tolist())) == 1
    assert len(set(found.fold.tolist())) == 5


def test_rows_weigh_as_the_target_weighs_them():
    contexts, actions, rewards, propensity, target = world(400)
    target = np.tile([0.0, 1.0], (400, 1))
    found = RewardModel().predict(contexts, actions, rewards, propensity, target)
    rewards[actions == 0] = 77.0
    again = RewardModel().predict(contexts, actions, rewards, propensity, target)
    assert np.array_equal(found.q_target, again.q_target)


@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_scaling_keeps_a_good_model_and_fades_a_useless_one_out(noise):
    contexts, actions, rewards, propensity, target = world()
    draw = np.random.default_rng(1)
    raw = RewardModel().predict(contexts, actions, rewards, propensity, target)
    bad = Predictions(
        raw.q_logged + noise * draw.normal(size=1500), raw.q_target + noise * draw.normal(size=1500), raw.fold
    )
    weight = target[np.arange(1500), actions] / propensity
    best = scaled(bad, weight, rewards)
    factor = float(np.median(best.q_logged / bad.q_logged))
    assert factor > 0.8 if noise == 0 else abs(factor) < 0.15

    def spread(predicted):
        log = Logged(rewards, propensity, weight * propensity, predicted.q_logged, predicted.q_target)
        dr = next(each for each in one_step() if each.name == "dr")
        return dr.terms(log).numerator.std()

    zero = Predictions(np.zeros(1500), np.zeros(1500), raw.fold)
    assert spread(best) < 1.02 * min(spread(bad), spread(zero))


def test_wrong_arguments_are_named():
    contexts, actions, rewards, propensity, target = world(20)
    with pytest.raises(ValueError, match="at least 2"):
        RewardModel(folds=1)
    with pytest.raises(ValueError, match="ridge is 0"):
        RewardModel(ridge=0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        RewardModel().predict(contexts, actions + 1, rewards, propensity, target)


def test_mixture_propensities_reach_what_one_policy_never_tries():
    """Two loggers, each blind to one action: only the mixture supports the target."""
    draw = np.random.default_rng(2)
    logging = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    policy = np.repeat([0, 1], [30_000, 10_000])
    actions = (np.cumsum(logging, axis=1)[policy] < draw.random((40_000, 1))).sum(axis=1)
    means, target = np.array([1.0, 2.0, 4.0]), np.array([0.3, 0.3, 0.4])
    mixture = balanced(logging[:, actions].T, np.array([30_000.0, 10_000.0]))
    assert mixture[actions == 0] == pytest.approx(0.75 * 0.9)
    log = Logged(means[actions], mixture, target[actions])
    assert log.weight.mean() == pytest.approx(1.0, abs=0.02)
    ips = one_step()[0]
    assert estimate(ips, log) == pytest.approx(float(means @ target), rel=0.02)


@pytest.mark.parametrize(
    ("propensities", "decisions"),
    [(np.ones((3, 2)), np.ones(3)), (np.ones((3, 2)), np.zeros(2)), (np.ones((3, 2)), np.array([2.0, -1.0]))],
)
def test_a_mixture_of_nothing_is_refused(propensities, decisions):
    with pytest.raises(ValueError, match="decisions"):
        balanced(propensities, decisions)
