"""Every policy gives an honest distribution, solved the same way by every process."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.draw import draw, uniform
from shared.core.policies.configuration import KINDS, MAPS, PolicyConfiguration
from shared.core.policies.learner import Learner
from shared.core.policies.solving import solve
from tests.core.examples import some_rows, teach

WIDTH, ACTIONS = 3, 4
ROWS = some_rows(600, width=WIDTH, actions=ACTIONS)
CONTEXTS = some_rows(40, width=WIDTH, seed=8).contexts


def configuration(kind: str, **hyper: object) -> PolicyConfiguration:
    return PolicyConfiguration(kind=kind, **{"fourier_features": 20, "scaling_rows": 32, **hyper})


def taught(kind: str, n: int = len(ROWS), **hyper: object) -> Learner:
    learner = Learner(configuration(kind, **hyper), width=WIDTH, actions=ACTIONS)
    return teach(learner, ROWS[:n])


@pytest.mark.parametrize("kind", KINDS)
def test_before_any_reward_all_actions_are_alike(kind):
    assert np.allclose(solve([taught(kind, 0)]).probabilities(CONTEXTS), 1 / ACTIONS, atol=0.04)
    masked = solve([taught(kind, 0)]).probabilities(CONTEXTS, np.array([True, False, True, False]))
    assert np.allclose(masked, [0.5, 0, 0.5, 0], atol=0.08)


@settings(max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.sampled_from(MAPS),
    st.integers(0, 80),
    st.integers(0, 2**ACTIONS - 2),
    st.sampled_from([None, 3600.0]),
    st.floats(1e-3, 1e4),
    st.floats(-1e6, 1e6, width=32),
)
def test_probabilities_sum_to_one_and_every_eligible_action_has_some(
    kind, map_, n, excluded, half_life_s, ridge, value
):
    eligible = np.array([not excluded >> a & 1 for a in range(ACTIONS)])
    model = solve([taught(kind, n, map=map_, half_life_s=half_life_s, ridge=ridge, samples=20)])
    contexts = np.concatenate([CONTEXTS[:5], np.full((1, WIDTH), value, np.float32)])
    for mask in (None, eligible):
        p = model.probabilities(contexts, mask)
        allowed = np.ones(ACTIONS, bool) if mask is None else mask
        assert p.shape == (6, ACTIONS)
        assert np.allclose(p.sum(axis=1), 1, rtol=0, atol=1e-12)
        assert (p[:, allowed] > 0).all()
        assert (p[:, ~allowed] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_actions_drawn_over_many_decisions_match_the_propensities(kind):
    p = solve([taught(kind)]).probabilities(CONTEXTS[:1])[0]
    n = 5000
    drawn = np.bincount([draw(p, uniform(str(i), kind, 1)) for i in range(n)], minlength=ACTIONS)
    assert np.abs(drawn / n - p).max() < 4 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_gets_the_same_distribution_alone_and_among_others(kind):
    model = solve([taught(kind)])
    together = model.probabilities(CONTEXTS)
    alone = np.concatenate([model.probabilities(CONTEXTS[i : i + 1]) for i in range(len(CONTEXTS))])
    assert np.allclose(together, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half_life_s", [None, 86_400.0])
def test_partitions_decide_like_one_learner(kind, half_life_s):
    whole = taught(kind, half_life_s=half_life_s)
    parts = [Learner(whole.configuration, width=WIDTH, actions=ACTIONS) for _ in range(3)]
    for index, part in enumerate(parts):
        teach(part, ROWS[np.arange(index, len(ROWS), 3)])
    if (scaling := whole.propose_scaling()) is not None:
        for learner in (whole, parts[1]):
            learner.set_scaling(scaling)
    one, merged = solve([whole]), solve(parts)
    assert merged.learnt == one.learnt == len(ROWS)
    assert np.allclose(merged.coefficients, one.coefficients, rtol=1e-7, atol=1e-9)
    assert np.allclose(merged.probabilities(CONTEXTS), one.probabilities(CONTEXTS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half_life_s", [None, 86_400.0])
def test_solving_only_what_changed_equals_solving_all(kind, half_life_s):
    learner = taught(kind, 500, half_life_s=half_life_s)
    before = solve([learner])
    more = ROWS[500:][ROWS[500:].actions == 2]
    teach(learner, more)
    fresh, again = solve([learner]), solve([learner], before)
    assert np.array_equal(fresh.coefficients, again.coefficients)
    assert np.array_equal(fresh.probabilities(CONTEXTS), again.probabilities(CONTEXTS))
    assert not np.array_equal(before.coefficients, again.coefficients)


def test_an_action_without_news_is_not_solved_again(monkeypatch):
    solved = []
    original = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: solved.append(1) or original(a, b))
    learner = taught("squarecb", 500, map="linear")
    learner.set_scaling(learner.propose_scaling())
    first = solve([learner])
    assert len(solved) == ACTIONS
    teach(learner, ROWS[500:][ROWS[500:].actions == 1])
    solve([learner], first)
    assert len(solved) == ACTIONS + 1


def test_coefficients_are_those_of_ridge_regression():
    learner = taught("epsilon_greedy", map="linear", ridge=0.7)
    model = solve([learner])
    fresh = ROWS.fresh.astype(bool)
    features = model.feature_map(ROWS.contexts)
    for action in range(ACTIONS):
        mine = ROWS.actions == action
        x = features[mine & fresh]
        moment = features[mine].T @ ROWS.rewards[mine]
        expected = np.linalg.solve(x.T @ x + 0.7 * np.eye(4), moment)
        assert np.allclose(model.coefficients[action], expected, rtol=1e-9, atol=1e-12)


def test_linucb_chooses_the_highest_upper_bound():
    model = solve([taught("linucb", map="linear", alpha=1.5, floor=0.04)])
    features = model.feature_map(CONTEXTS)
    means = features @ model.coefficients.T
    widths = np.sqrt(np.einsum("ni,kij,nj->nk", features, model.covariance, features))
    expected = np.full(means.shape, 0.01)
    expected[np.arange(len(means)), (means + 1.5 * widths).argmax(axis=1)] += 0.96
    assert np.allclose(model.probabilities(CONTEXTS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("widths", "size"), [("linear", WIDTH + 1), ("all", WIDTH + 1 + 20)])
def test_widths_come_from_the_part_of_the_features_that_is_asked_for(widths, size):
    learner = taught("linucb", map="fourier", widths=widths, ridge=0.5)
    model = solve([learner])
    x = model.feature_map(ROWS.contexts[(ROWS.actions == 1) & (ROWS.fresh == 1)])[:, :size]
    assert np.allclose(model.covariance[1], np.linalg.inv(x.T @ x + 0.5 * np.eye(size)), rtol=1e-6)


def test_squarecb_weights_are_inverse_to_the_gaps():
    model = solve([taught("squarecb", map="linear", floor=1e-12, gamma=3.0)])
    means = model.feature_map(CONTEXTS) @ model.coefficients.T
    gaps = means.max(axis=1, keepdims=True) - means
    rate = 3.0 * np.sqrt(ACTIONS * ROWS.fresh.sum())
    p = model.probabilities(CONTEXTS)
    others = gaps > 0
    assert np.allclose(p[others], (1 / (ACTIONS + rate * gaps))[others], rtol=1e-6)


def test_epsilon_greedy_explores_epsilon_uniformly():
    p = solve([taught("epsilon_greedy", epsilon=0.2)]).probabilities(CONTEXTS)
    assert np.allclose(np.sort(p, axis=1), [0.05, 0.05, 0.05, 0.85])


def test_linear_thompson_matches_its_posterior():
    policy = replace(configuration("thompson_linear", map="linear", alpha=1.0, floor=1e-9), samples=20_000)
    model = solve([teach(Learner(policy, width=WIDTH, actions=ACTIONS), ROWS)])
    x = model.feature_map(CONTEXTS[:1])[0]
    noise = np.random.default_rng(0)
    draws = [
        noise.multivariate_normal(model.coefficients[a], model.covariance[a], 20_000) @ x
        for a in range(ACTIONS)
    ]
    expected = np.bincount(np.argmax(draws, axis=0), minlength=ACTIONS) / 20_000
    assert np.abs(model.probabilities(CONTEXTS[:1])[0] - expected).max() < 0.02


def test_beta_thompson_prefers_the_action_that_succeeds():
    learner = Learner(configuration("thompson_beta"), width=WIDTH, actions=2)
    actions = np.repeat([0, 1], 200)
    rewards = np.concatenate([np.arange(200) % 10 < 6, np.arange(200) % 10 < 4]).astype(float)
    learner.learn(np.zeros((400, WIDTH)), actions, rewards, np.ones(400), np.arange(400))
    p = solve([learner]).probabilities(CONTEXTS[:2])
    assert (p[:, 0] > 0.99).all()
    assert np.array_equal(p[0], p[1])


def test_beta_thompson_counts_rewards_within_their_range():
    """From -1 to 1, a reward r counts as (r + 1) / 2 of a success."""
    rewards = np.linspace(-1, 1, 40)
    actions = np.arange(40) % 2

    def learnt(values, **settings):
        policy = replace(configuration("thompson_beta"), **settings)
        learner = Learner(policy, width=WIDTH, actions=2)
        learner.learn(np.zeros((40, WIDTH)), actions, values, np.ones(40), np.arange(40))
        return solve([learner]).samples

    within = learnt(rewards, reward_low=-1.0)
    assert np.allclose(within, learnt((rewards + 1) / 2), rtol=1e-9)
    assert not np.allclose(within, learnt(rewards), rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_give_the_same_model_in_every_process(kind):
    first, second = (solve([Learner.from_bytes(taught(kind).to_bytes())]) for _ in range(2))
    assert np.array_equal(first.probabilities(CONTEXTS), second.probabilities(CONTEXTS))


@pytest.mark.parametrize("kind", KINDS)
def test_corrections_lead_to_the_model_of_the_final_rewards(kind):
    final = some_rows(300, corrections=False)
    rough = np.round(final.rewards)
    direct = teach(Learner(configuration(kind), width=WIDTH, actions=ACTIONS), final)
    corrected = Learner(configuration(kind), width=WIDTH, actions=ACTIONS)
    corrected.learn(final.contexts, final.actions, rough, final.fresh, final.times)
    corrected.learn(final.contexts, final.actions, final.rewards - rough, 0 * final.fresh, final.times)
    one, other = solve([direct]), solve([corrected])
    assert np.allclose(one.coefficients, other.coefficients, rtol=1e-6, atol=1e-8)


def test_requests_that_cannot_be_answered_are_refused():
    model = solve([taught("squarecb")])
    with pytest.raises(ValueError, match="wanted"):
        model.probabilities(CONTEXTS[:, :2])
    with pytest.raises(ValueError, match="eligible"):
        model.probabilities(CONTEXTS, np.zeros(ACTIONS, bool))
    with pytest.raises(ValueError, match="wanted"):
        model.probabilities_dynamic(CONTEXTS[0], np.zeros((2, 2)))
