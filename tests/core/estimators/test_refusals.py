"""Each reason not to believe an evaluation, with its number and its limit."""

import math
from dataclasses import replace

import numpy as np
import pytest

from shared.core.estimators.limits import Limits
from shared.core.estimators.log import Logged, first_fault
from shared.core.estimators.refusals import (
    carried_by,
    mean_weight_test,
    propensity_reasons,
    reward_reasons,
    schema_reasons,
    support_reasons,
    weight_reasons,
)
from shared.core.estimators.registry import one_step
from shared.core.estimators.sample_ratio import chi_square_tail, ratio_reasons
from shared.core.estimators.summary import WEIGHT, Summary
from shared.core.estimators.weights import expected_moments
from shared.core.estimators.windows import Window, age_reasons, closing_reasons, overlap_reasons

LIMITS = Limits()


def reasons_for(weight, cluster=None):
    """Names of what speaks against these weights."""
    weight = np.asarray(weight, float)
    propensity = np.full(len(weight), 1 / max(2.0, weight.max()))
    log = Logged(np.ones(len(weight)), propensity, weight * propensity, cluster=cluster)
    summary = Summary(one_step(models=False), clustered=cluster is not None)
    summary.add(log)
    columns = summary.units.columns()
    return {each.name: each for each in weight_reasons(summary.weights, columns, WEIGHT, LIMITS)}


def even(count=2000, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 1.5, count)


def test_even_weights_are_not_refused():
    assert reasons_for(even()) == {}
    assert reasons_for(np.ones(500)) == {}


def test_a_small_effective_sample_is_refused_with_its_size():
    found = reasons_for(even(90))["effective-sample-size"]
    weight = even(90)
    assert found.value == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert found.limit == 100


def test_one_heavy_decision_is_refused_by_its_share():
    weight = even()
    weight[7] = 400.0
    found = reasons_for(weight)
    assert found["maximum-weight"].value == pytest.approx(400 / weight.sum())
    assert "tail-weight" in found


def test_a_heavy_tail_is_refused_though_no_decision_is_heavy_alone():
    weight = even(20_000)
    weight[:20] = 60.0
    found = reasons_for(weight)
    assert set(found) == {"tail-weight", "mean-weight"}
    assert found["tail-weight"].value < 40


def rare(heavy):
    """A log in which one action in 500 weighs 100, and was drawn so often."""
    rows, chance = 4000, 1 / 500
    behaviour, target = np.array([1 - chance, chance]), np.array([1 - 100 * chance, 100 * chance])
    action = (np.arange(rows) < heavy).astype(int)
    log = Logged(
        np.zeros(rows),
        behaviour[action],
        target[action],
        moments=expected_moments(np.tile(behaviour, (rows, 1)), np.tile(target, (rows, 1))),
    )
    return log, behaviour, target


def test_what_is_expected_of_weights_is_their_mean_over_the_logging_policys_draws():
    log, behaviour, target = rare(0)
    apart = target / behaviour - 1
    assert log.moments[:, 0] == pytest.approx([behaviour @ apart**2, behaviour @ apart**4])
    never = expected_moments(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    assert never[:, 0] == pytest.approx([0.25, 0.0625])


def test_a_log_whose_heavy_decisions_happened_not_to_be_drawn_is_refused_by_what_was_to_be_expected():
    for heavy in (0, 8, 12):
        log, behaviour, target = rare(heavy)
        summary = Summary(one_step(models=False))
        for half in (slice(None, 1500), slice(1500, None)):
            other = Summary(one_step(models=False))
            columns = (log.reward, log.propensity, log.target_propensity)
            other.add(Logged(*(each[half] for each in columns), moments=log.moments[:, half]))
            summary.merge(other)
        found = {
            each.name: each
            for each in weight_reasons(summary.weights, summary.units.columns(), WEIGHT, LIMITS)
        }
        apart = target / behaviour - 1
        assert found["tail-weight"].value == pytest.approx(
            4000 * (behaviour @ apart**2) ** 2 / (behaviour @ apart**4)
        )
        assert found["tail-weight"].limit == LIMITS.expected_tail_weight
        assert summary.weights.expected_effective_sample_size == pytest.approx(
            4000 / (1 + behaviour @ apart**2)
        )


def test_of_a_log_of_which_expectations_are_known_in_part_the_limit_is_between_both():
    log, _, _ = rare(8)
    unknown = log.moments.copy()
    unknown[:, :1000] = np.nan
    summary = Summary(one_step(models=False))
    summary.add(replace(log, moments=unknown))
    reasons = weight_reasons(summary.weights, summary.units.columns(), WEIGHT, LIMITS)
    (found,) = (each for each in reasons if each.name == "tail-weight")
    assert found.limit == pytest.approx(0.75 * 10 + 0.25 * 40)
    drawn = log.weight[:1000] - 1
    squares, fourths = (
        log.moments[row, 1000:].sum() + (drawn**power).sum() for row, power in ((0, 2), (1, 4))
    )
    assert found.value == pytest.approx(squares**2 / fourths)


def test_the_logging_policy_itself_is_not_refused_for_rounding():
    behaviour = np.random.default_rng(0).dirichlet(np.ones(3), 2000)
    target = behaviour.copy()
    target[0, 0] *= 1 + 1e-15
    log = Logged(np.ones(2000), behaviour[:, 0], target[:, 0], moments=expected_moments(behaviour, target))
    summary = Summary(one_step(models=False))
    summary.add(log)
    assert not list(weight_reasons(summary.weights, summary.units.columns(), WEIGHT, LIMITS))


def test_few_subjects_are_refused_however_many_decisions_they_make():
    cluster = np.arange(5000, dtype=np.uint64) % np.uint64(12)
    assert reasons_for(even(5000), cluster)["few-units"].value == 12


@pytest.mark.parametrize(("factor", "name"), [(0.9, "missing-support"), (1.1, "mean-weight")])
def test_a_mean_weight_far_from_one_is_refused_by_its_test(factor, name):
    found = reasons_for(even() * factor)
    assert set(found) == {name}
    assert found[name].value < 0.001
    assert f"{factor:.1f}" in found[name].detail or "mean weight" in found[name].detail


def test_a_mean_weight_within_the_tolerance_passes_however_sure_it_is():
    assert reasons_for(np.full(500, 1.005)) == {}
    assert set(reasons_for(np.full(500, 1.02))) == {"mean-weight"}


def test_the_mean_weight_test_is_a_z_test():
    weight = even(300) * 1.02
    p = mean_weight_test({"rows": np.ones(300), WEIGHT: weight}, WEIGHT)
    apart = weight - 1
    z = apart.sum() / math.sqrt(((apart - apart.mean()) ** 2).sum())
    assert p == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=1e-9)


def test_rare_rewards_are_refused_by_how_many_carry_the_variance():
    clicks = np.zeros(5000)
    clicks[:8] = 1.0
    apart = clicks - clicks.mean()
    assert carried_by(apart, 1.0) == pytest.approx(8, rel=0.02)
    assert [each.name for each in reward_reasons(apart, 1.0, LIMITS)] == ["rare-reward"]
    clicks[:12] = 1.0
    assert list(reward_reasons(clicks - clicks.mean(), 1.0, LIMITS)) == []


def test_rewards_that_never_vary_are_refused():
    found = list(reward_reasons(np.full(500, 1e-14), 1.0, LIMITS))
    assert [each.value for each in found] == [0.0]


def test_missing_support_is_the_targets_mean_share_there():
    behaviour = np.array([[0.5, 0.5, 0.0]] * 4)
    target = np.array([[0.2, 0.7, 0.1]] * 4)
    found = list(support_reasons(behaviour, target, LIMITS))
    assert [each.name for each in found] == ["missing-support"]
    assert found[0].value == pytest.approx(0.1)
    assert list(support_reasons(behaviour, behaviour, LIMITS)) == []


def test_logged_propensities_must_be_possible_and_come_out_again():
    propensity = np.array([0.5, 0.0, 1.2, float("nan"), 1.0])
    assert [(e.name, e.value) for e in propensity_reasons(propensity, None, LIMITS)] == [
        ("propensity-range", 3)
    ]
    sound = np.array([0.5, 0.25, 0.125, 1.0])
    assert list(propensity_reasons(sound, sound.copy(), LIMITS)) == []
    found = list(propensity_reasons(sound, sound + np.array([0, 1e-6, 0, 0]), LIMITS))
    assert [(each.name, each.value) for each in found] == [("unreproducible-propensities", 0.25)]


@pytest.mark.parametrize(
    ("logged", "told"),
    [
        ({"a": "float"}, "missing: b"),
        ({"a": "float", "b": "text", "c": "float"}, "unknown: c"),
        ({"a": "text", "b": "text"}, "of another type: a"),
        ({"b": "text", "a": "float"}, "another order"),
    ],
)
def test_a_schema_that_drifted_is_told(logged, told):
    trained = {"a": "float", "b": "text"}
    assert list(schema_reasons(trained, dict(trained))) == []
    found = list(schema_reasons(trained, logged))
    assert [each.name for each in found] == ["schema-drift"]
    assert told in found[0].detail


@pytest.mark.parametrize(
    ("statistic", "degrees", "p"),
    # Critical values from any table of the distribution.
    [
        (3.841459, 1, 0.05),
        (10.827566, 1, 0.001),
        (5.991465, 2, 0.05),
        (7.814728, 3, 0.05),
        (18.307038, 10, 0.05),
        (24.995790, 15, 0.05),
        (0.0, 1, 1.0),
        (0.0, 2, 1.0),
    ],
)
def test_the_chi_square_tail_is_the_tables(statistic, degrees, p):
    assert chi_square_tail(statistic, degrees) == pytest.approx(p, rel=1e-5)


def test_arms_that_are_not_assigned_by_their_shares_are_refused():
    shares = {"stable": 0.9, "canary": 0.1}
    assert list(ratio_reasons({"stable": 9020, "canary": 980}, shares, LIMITS)) == []
    found = list(ratio_reasons({"stable": 9120, "canary": 880}, shares, LIMITS))
    assert [each.name for each in found] == ["sample-ratio-mismatch"]
    statistic = 120**2 / 9000 + 120**2 / 1000
    assert found[0].value == pytest.approx(math.erfc(math.sqrt(statistic / 2)))
    with pytest.raises(ValueError, match="same arms"):
        list(ratio_reasons({"stable": 1}, shares, LIMITS))
    with pytest.raises(ValueError, match="above zero"):
        list(ratio_reasons({"stable": 1, "canary": 1}, {"stable": 1.0, "canary": 0.0}, LIMITS))


def test_windows_must_be_fresh_closed_and_of_one_time():
    day = 24 * 3600.0
    window = Window(0.0, 10 * day)
    assert list(age_reasons(window, 12 * day, LIMITS)) == []
    assert [each.name for each in age_reasons(window, 18 * day, LIMITS)] == ["stale-window"]
    assert list(overlap_reasons(window, Window(1 * day, 10 * day), LIMITS)) == []
    found = list(overlap_reasons(window, Window(5 * day, 15 * day), LIMITS))
    assert [(each.name, each.value) for each in found] == [("one-sided-window", 0.5)]
    assert list(closing_reasons(window, 10 * day)) == []
    assert [each.value for each in closing_reasons(window, 9 * day)] == [day]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reward", np.nan),
        ("reward", np.inf),
        ("propensity", 0.0),
        ("propensity", 1.01),
        ("propensity", np.nan),
        ("target_propensity", -0.1),
        ("target_propensity", 1.5),
        ("q_logged", np.inf),
        ("q_target", np.nan),
    ],
)
def test_the_first_unusable_value_is_found(column, value):
    sound = {
        name: np.full(6, 0.5)
        for name in ("reward", "propensity", "target_propensity", "q_logged", "q_target")
    }
    assert first_fault(Logged(**sound)) is None
    broken = sound[column].copy()
    broken[[3, 5]] = value
    later = sound["reward"].copy() if column != "reward" else broken.copy()
    later[4] = np.nan
    fault = first_fault(Logged(**(sound | {"reward": later} | {column: broken})))
    assert fault is not None
    assert (fault.column, fault.row) == (column, 3)
    assert f"column {column}, row 4" in str(fault)
