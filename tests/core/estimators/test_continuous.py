"""Logs of vectors: densities, kernels, what is refused, and how often intervals hold the truth."""

from dataclasses import replace

import numpy as np
import pytest

from shared.core.estimators.continuous.action_model import predict
from shared.core.estimators.continuous.behaviour import Behaviour, Form, chosen_form
from shared.core.estimators.continuous.coordinates import Coordinates
from shared.core.estimators.continuous.mixture import Mixture
from shared.core.estimators.continuous.smoothing import WIDENED, smoothing_reasons
from shared.core.estimators.continuous.weighing import VectorLog, Weighing, default_bandwidth
from shared.core.estimators.evaluation import Evaluation, evaluate
from shared.core.estimators.limits import Limits
from shared.core.estimators.log import Logged
from shared.core.estimators.registry import one_step
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import Summary

SPREAD = 0.7
LIMITS = Limits()


def normal_density(apart: np.ndarray, spread: float) -> np.ndarray:
    return np.exp(-0.5 * (apart / spread) ** 2).prod(axis=1) / (spread * np.sqrt(2 * np.pi)) ** apart.shape[1]


def reward(contexts: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return 1 - ((vectors - contexts[:, :2]) ** 2).sum(axis=1) + 0.5 * np.sin(2 * vectors[:, 0])


def policy(contexts: np.ndarray) -> np.ndarray:
    return 0.6 * np.tanh(contexts[:, :2]) + 0.2


TRUTH = float(
    reward(*(lambda x: (x, policy(x)))(np.random.default_rng(99).standard_normal((400_000, 3)))).mean()
)


def log_of(rows: int, seed: int = 0, logged: bool = False) -> VectorLog:
    """Vectors around half the context, for a policy that is nearer to what earns most."""
    draw = np.random.default_rng(seed)
    contexts = draw.standard_normal((rows, 3))
    around = 0.5 * contexts[:, :2]
    taken = around + SPREAD * draw.standard_normal((rows, 2))
    earned = reward(contexts, taken) + draw.standard_normal(rows)
    density = normal_density(taken - around, SPREAD) if logged else None
    return VectorLog(contexts, taken, policy(contexts), earned, density)


def judged(weighing: Weighing) -> Evaluation:
    return judged_log(weighing.weighed())


def judged_log(log: Logged) -> Evaluation:
    summary = Summary(one_step())
    summary.add(log)
    return evaluate(summary, Settings(resamples=300))


def holds(found: Evaluation, truth: float) -> bool:
    ends = found.estimates["dr"].interval
    return ends.low <= truth <= ends.high


def names(weighing: Weighing) -> set[str]:
    found = weighing.weighed()
    reasons = [
        *weighing.support_reasons(LIMITS),
        *smoothing_reasons(found, weighing.weighed(WIDENED), LIMITS),
    ]
    return {each.name for each in reasons}


def test_coordinates_are_uncorrelated_of_variance_one_and_leave_out_what_never_varies() -> None:
    weights = np.random.default_rng(1).dirichlet(np.ones(4), 500)
    found = Coordinates.fit(weights)
    inner = found(weights)
    assert inner.shape == (500, 3)
    assert np.cov(inner.T, bias=True) == pytest.approx(np.eye(3), abs=1e-9)
    assert not found.outside(weights).any()
    assert found.outside(weights + 0.01).all()  # they add up to more than one
    with pytest.raises(ValueError, match="all vectors are alike"):
        Coordinates.fit(np.ones((9, 2)))


def test_a_density_over_the_first_numbers_is_one_over_the_coordinates() -> None:
    """Changing coordinates changes a density by the volume of their unit, whatever the last number."""
    draw = np.random.default_rng(2)
    free = draw.standard_normal((4000, 2)) @ np.array([[2.0, 0.3], [0.0, 0.1]])
    found = Coordinates.fit(np.column_stack([free, 1 - free.sum(axis=1)]))
    sides = np.linalg.cholesky(np.cov(free.T, bias=True))
    assert found.log_unit() == pytest.approx(np.log(np.diag(sides)).sum())
    constant = Coordinates.fit(np.column_stack([np.ones(4000), free]))
    with pytest.raises(ValueError, match="first 2 numbers do not determine"):
        constant.log_unit()


def test_a_mixture_finds_the_normals_that_rows_were_drawn_from() -> None:
    draw = np.random.default_rng(3)
    of = draw.random(4000) < 0.3
    rows = np.where(of[:, None], [-1.0, 0.5], [1.0, -0.5]) + draw.standard_normal((4000, 2)) * [0.3, 0.4]
    found = Mixture.fit(rows, 2, np.random.default_rng(0))
    place = found.means[:, 0].argsort()
    assert found.shares[place] == pytest.approx([0.3, 0.7], abs=0.03)
    assert found.means[place] == pytest.approx(np.array([[-1.0, 0.5], [1.0, -0.5]]), abs=0.05)
    where = rows[:50]
    each = [
        share * np.exp(-0.5 * (((where - mean) / [0.3, 0.4]) ** 2).sum(axis=1)) / (2 * np.pi * 0.12)
        for share, mean in ((0.3, [-1.0, 0.5]), (0.7, [1.0, -0.5]))
    ]
    assert found.log_density(where) == pytest.approx(np.log(sum(each)), abs=0.25)
    alone = found.over_first(1)
    assert alone.means.shape == (2, 1)
    assert Mixture.fit(np.zeros((5, 2)), 2, draw).log_density(np.zeros((1, 2)))[0] > 0


@pytest.mark.parametrize("conditional", [False, True])
def test_the_form_of_a_density_follows_the_log(conditional: bool) -> None:
    draw = np.random.default_rng(4)
    contexts = draw.standard_normal((1500, 2))
    around = contexts if conditional else draw.choice([-1.2, 1.2], (1500, 2))
    vectors = (around + 0.3 * draw.standard_normal((1500, 2))) / 1.1
    form = chosen_form(contexts, vectors, np.arange(1500) % 5, 0)
    assert form.conditional == conditional
    assert conditional or form.components > 1
    found = Behaviour.fit(contexts, vectors, form, 0)
    if conditional:
        truth = np.log(normal_density(vectors - contexts / 1.1, 0.3 / 1.1))
        assert np.abs(found.log_density(contexts, vectors) - truth).mean() < 0.1


def test_weights_are_the_kernel_over_the_density_that_was_logged() -> None:
    log = log_of(400, logged=True)
    weighing = Weighing(log, bandwidth=0.5)
    covariance = np.cov(log.taken.T, bias=True) * 0.5**2
    apart = log.taken - log.wanted
    inside = np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart)
    kernel = np.exp(-0.5 * inside) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    assert log.density is not None
    assert weighing.weighed().weight == pytest.approx(kernel / log.density, rel=1e-9)
    assert (weighing.density.logged, weighing.density.estimated, weighing.density.form) == (400, 0, None)
    assert "densities are those logged" in str(weighing.density)


def test_an_estimate_is_told_as_one_and_comes_near_what_was_not_logged() -> None:
    known, unknown = (Weighing(log_of(3000, logged=logged)) for logged in (True, False))
    assert unknown.density.estimated == 3000
    assert unknown.density.form == Form(1, True)
    told = str(unknown.density)
    assert "of 3000 of 3000 decisions no density was logged: it is an estimate (a normal one given" in told
    assert np.abs(unknown.log_density - known.log_density).mean() < 0.1
    # Where some were logged, they are used, and the others estimated from one another.
    log = log_of(3000, logged=True)
    assert log.density is not None
    half = Weighing(replace(log, density=np.where(np.arange(3000) < 1000, log.density, np.nan)))
    assert (half.density.logged, half.density.estimated) == (1000, 2000)
    assert (half.log_density[:1000] == known.log_density[:1000]).all()
    assert np.abs(half.log_density - known.log_density).mean() < 0.1


def test_the_reward_model_predicts_rows_that_it_has_not_seen() -> None:
    log = log_of(2000)
    fold = np.arange(2000) % 5
    found = predict(log.contexts, log.taken, log.wanted, log.reward, fold)
    truth = reward(log.contexts, log.taken)
    assert np.corrcoef(found.logged, truth)[0, 1] > 0.9
    assert np.corrcoef(found.target, reward(log.contexts, log.wanted))[0, 1] > 0.9
    changed = log.reward + np.where(fold == 2, 1000.0, 0.0)
    again = predict(log.contexts, log.taken, log.wanted, changed, fold)
    assert again.logged[fold == 2] == pytest.approx(found.logged[fold == 2])


def test_the_default_bandwidth_narrows_faster_than_the_rate_of_least_error() -> None:
    assert default_bandwidth(10_000, 2) == pytest.approx(0.1)
    assert default_bandwidth(10**6, 6) == pytest.approx(0.5**0.25 * 10**-0.75)


def test_a_bias_that_grows_with_the_bandwidth_is_made_up_for() -> None:
    """The target is best at a kink of the reward: one kernel alone misses by two standard errors."""
    held = alone = 0
    for seed in range(40):
        log = log_of(3000, seed, logged=True)
        draw = np.random.default_rng(1000 + seed)
        earned = 1 - np.abs(log.taken - log.wanted).sum(axis=1) + draw.standard_normal(3000)
        found = Weighing(replace(log, reward=earned)).weighed()
        held += holds(judged_log(found), 1.0)
        alone += holds(judged_log(replace(found, correction=None)), 1.0)
    assert held >= 35
    assert alone < 30


@pytest.mark.parametrize("logged", [True, False])
def test_intervals_hold_the_truth_or_are_refused(logged: bool) -> None:
    answered = covered = 0
    for seed in range(24):
        weighing = Weighing(log_of(3000, seed + 1, logged))
        found = judged(weighing)
        doubts = {each.name for each in found.reasons} - {"interval-holds-baseline", "worse-than-baseline"}
        if not doubts | names(weighing):
            answered += 1
            ends = found.estimates["dr"].interval
            covered += ends.low < TRUTH < ends.high
            assert ends.high - ends.low < 0.8
    assert answered >= 16
    assert covered >= answered - 2


def test_vectors_where_the_log_has_none_have_no_support() -> None:
    log = log_of(2000)
    assert names(Weighing(log)) == set()
    away = replace(log, wanted=np.where(np.arange(2000)[:, None] % 50 == 0, 5.0, log.wanted))
    (found,) = Weighing(away).support_reasons(LIMITS)
    assert (found.name, found.limit) == ("missing-support", 0.01)
    assert found.value == pytest.approx(0.02, abs=0.005)


def test_numbers_that_the_log_never_varied_have_no_support() -> None:
    log = log_of(1000)
    flat = replace(
        log,
        taken=np.column_stack([log.taken, np.full(1000, 3.0)]),
        wanted=np.column_stack([log.wanted, np.full(1000, 4.0)]),
    )
    weighing = Weighing(flat)
    (found,) = weighing.support_reasons(LIMITS)
    assert (found.name, found.value) == ("missing-support", 1.0)
    assert weighing.weighed().weight.sum() == 0


def test_vectors_of_a_few_kinds_have_no_density() -> None:
    log = log_of(1000)
    few = replace(log, taken=np.round(log.taken))
    assert "repeated-vectors" in names(Weighing(few))


def test_a_kernel_that_blurs_the_policy_is_refused() -> None:
    """A reward with a peak that no quadratic follows, and a policy that hits it."""
    log = log_of(6000, logged=True)
    peak = np.exp(-12 * ((log.taken - log.wanted) ** 2).sum(axis=1))
    narrow, wide = (Weighing(replace(log, reward=peak), bandwidth=each) for each in (0.05, 0.3))
    assert "smoothing-bias" not in names(narrow)
    assert "smoothing-bias" in names(wide)


def test_far_away_weights_stay_numbers() -> None:
    log = log_of(600)
    assert log.density is None
    tiny = replace(log, density=np.full(600, 1e-300))
    found = Weighing(tiny).weighed()
    assert np.isfinite(found.weight @ found.weight)
    assert (found.propensity > 0).all()


def test_subjects_stay_in_one_fold() -> None:
    subjects = np.repeat(np.arange(300, dtype=np.uint64), 4)
    weighing = Weighing(replace(log_of(1200), cluster=subjects))
    assert all(len(set(weighing.fold[subjects == each])) == 1 for each in range(300))


@pytest.mark.parametrize(
    ("rows", "density", "words"),
    [(4, False, "4 decisions; at least 5"), (40, True, "3 decisions without a density")],
)
def test_too_little_to_estimate_from_is_named(rows: int, density: bool, words: str) -> None:
    log = log_of(rows, logged=density)
    if density:
        assert log.density is not None
        log = replace(log, density=np.where(np.arange(rows) < 3, np.nan, log.density))
    with pytest.raises(ValueError, match=words):
        Weighing(log)
