"""Policies get better by what they learn, with fixed actions and with actions that bring features."""

import numpy as np
import pytest

from shared.core.draw import draw, uniform
from shared.core.policies.configuration import KINDS, PolicyConfiguration
from shared.core.policies.learner import Learner
from shared.core.policies.solving import solve

RIDGE_KINDS = [kind for kind in KINDS if kind != "thompson_beta"]


def play_fixed(configuration: PolicyConfiguration, rounds: int) -> np.ndarray:
    """Three actions; the best one depends on the context. Solved every 25 rounds, as a loop does."""
    noise = np.random.default_rng(2)
    learner = Learner(configuration, width=2, actions=3)
    model, rewards = solve([learner]), np.zeros(rounds)
    for t in range(rounds):
        context = noise.normal(size=2).astype(np.float32)
        means = np.array([0.5 + 0.4 * np.tanh(context[0]), 0.5 + 0.4 * np.tanh(context[1]), 0.5])
        p = model.probabilities(context[None])[0]
        action = draw(p, uniform(str(t), configuration.kind, model.learnt))
        rewards[t] = noise.random() < means[action]
        learner.learn(context[None], [action], [rewards[t]], [1], [t])
        if t % 25 == 24:
            model = solve([learner], model)
    return rewards


@pytest.mark.parametrize("kind", RIDGE_KINDS)
def test_a_policy_learns_which_action_suits_the_context(kind):
    rewards = play_fixed(PolicyConfiguration(kind=kind, fourier_features=30, scaling_rows=64), 1500)
    assert rewards[-700:].mean() > 0.64  # uniform: 0.5; the best possible: about 0.69


def play_dynamic(configuration: PolicyConfiguration, rounds: int) -> tuple[np.ndarray, Learner]:
    """Between 2 and 8 actions with 3 features each; the reward is a bilinear form of both."""
    noise = np.random.default_rng(4)
    taste = noise.normal(size=(2, 3))
    learner = Learner(configuration, width=2, action_width=3)
    model, advantages = solve([learner]), np.zeros(rounds)
    for t in range(rounds):
        context = noise.normal(size=2).astype(np.float32)
        features = noise.normal(size=(int(noise.integers(2, 9)), 3)).astype(np.float32)
        p = model.probabilities_dynamic(context, features)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert (p > 0).all()
        action = draw(p, uniform(str(t), configuration.kind, model.learnt))
        values = features @ (taste.T @ context)
        advantages[t] = (values[action] - values.mean()) / (values.max() - values.mean())
        chosen = np.concatenate([context, features[action]])[None]
        learner.learn(chosen, [0], [0.1 * values[action] + 0.1 * noise.normal()], [1], [t])
        if t % 25 == 24:
            model = solve([learner], model)
    return advantages, learner


@pytest.mark.parametrize("kind", RIDGE_KINDS)
def test_a_policy_learns_from_features_of_actions(kind):
    advantages, _ = play_dynamic(PolicyConfiguration(kind=kind, scaling_rows=64), 800)
    assert advantages[-400:].mean() > 0.8  # uniform: 0; always the best: 1


def test_actions_with_features_are_told_apart_by_them_alone():
    _, learner = play_dynamic(PolicyConfiguration(scaling_rows=64), 200)
    model = solve([learner])
    context = np.ones(2, np.float32)
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    p = model.probabilities_dynamic(context, features)
    assert np.allclose(model.probabilities_dynamic(context, features[::-1]), p[::-1], atol=1e-12)
    twins = model.probabilities_dynamic(context, features[[0, 0, 1]])
    assert twins[0] == pytest.approx(twins[1], abs=1e-12)


def test_a_policy_with_a_half_life_follows_a_world_that_changes():
    shares = {}
    for half_life_s in (None, 0.05):
        learner = Learner(PolicyConfiguration(map="linear", half_life_s=half_life_s), width=1, actions=2)
        n = 1000
        actions = np.arange(n) % 2
        rewards = np.where(np.arange(n) < 600, actions == 0, actions == 1).astype(float)
        learner.learn(np.zeros((n, 1)), actions, rewards, np.ones(n), np.arange(n))
        shares[half_life_s] = solve([learner]).probabilities(np.zeros((1, 1), np.float32))[0, 1]
    assert shares[None] < 0.5 < 0.9 < shares[0.05]
