"""Guards: what breaks, what holds, and how often they are wrong when looked at all along."""

import math

import numpy as np
import pytest

from shared.core.estimators.confidence_sequences import asymptotic_half_width, mixture_precision
from shared.core.rollout.arms import BUCKETS, Arm, Mean
from shared.core.rollout.facts import Health
from shared.core.rollout.guards import (
    Guard,
    Plan,
    against,
    assess,
    one_sided_half_width,
    plan_of,
)
from shared.core.rollout.settings import RolloutSettings

REWARD = Guard("reward")
PLAN = Plan(share=0.5, guards=(REWARD,), alpha=0.05, tuned_at=1_000)


def arm(mean, count, seed=0, deviation=0.1, metrics=1):
    """Values of subjects of their own."""
    random, made = np.random.default_rng(seed), Arm(metrics)
    for n, value in enumerate(random.normal(mean, deviation, count).tolist()):
        made.add(n % BUCKETS, (value,) * metrics)
    return made


def test_the_one_sided_width_is_the_published_formula():
    variance, count, alpha, tuned = 2.0, 300.0, 0.05, 500.0
    rho2 = mixture_precision(2 * alpha, tuned)
    scaled = count * rho2 + 1
    wanted = math.sqrt(
        2 * scaled / (count**2 * rho2) * math.log(1 + math.sqrt(scaled) / (2 * alpha)) * variance
    )
    assert one_sided_half_width(variance, count, alpha, tuned) == pytest.approx(wanted, rel=1e-12)
    assert one_sided_half_width(variance, count, alpha, tuned) < asymptotic_half_width(
        variance, count, alpha, tuned
    )
    assert one_sided_half_width(variance, 0, alpha, tuned) == math.inf
    assert one_sided_half_width(math.inf, 9, alpha, tuned) == math.inf


def test_looking_always_makes_few_false_alarms_and_finds_harm():
    random = np.random.default_rng(3)
    runs, looks, size = 400, 60, 50
    wrong = right = 0
    for effect in (0.0, -0.1):
        canary = random.normal(0.5 + effect, 0.5, (runs, looks * size)).cumsum(axis=1)[:, size - 1 :: size]
        stable = random.normal(0.5, 0.5, (runs, looks * size)).cumsum(axis=1)[:, size - 1 :: size]
        counts = size * np.arange(1, looks + 1)
        broken = 0
        for one, other in zip(canary / counts, stable / counts, strict=True):
            broken += any(
                against(REWARD, Mean(c, 0.25 / n, n, n), Mean(s, 0.25 / n, n, n), 0.05, 2_000).high < 0
                for c, s, n in zip(one.tolist(), other.tolist(), counts.tolist(), strict=True)
            )
        wrong, right = (broken, right) if effect == 0 else (wrong, broken)
    assert wrong / runs <= 0.05
    assert right / runs > 0.95


def test_harm_is_a_breach_with_its_numbers():
    found = assess(PLAN, arm(0.3, 400), arm(0.5, 400, seed=1))
    assert (found.health, found.reason, found.samples) == (Health.BREACH, "worse", 400)
    assert found.numbers["high"] < 0 < found.numbers["reward_stable"]
    assert "0.2" in found.cause


@pytest.mark.parametrize(
    ("guard", "canary", "health"),
    [
        (Guard("reward", tolerance=0.5), 0.3, Health.GOOD),
        (Guard("reward", tolerance=0.3), 0.3, Health.BREACH),
        (Guard("reward", higher_is_better=False), 0.3, Health.GOOD),
        (Guard("reward", higher_is_better=False), 0.7, Health.BREACH),
        (Guard("reward", higher_is_better=False, tolerance=0.5), 0.7, Health.GOOD),
    ],
)
def test_direction_and_tolerance(guard, canary, health):
    plan = Plan(0.5, (guard,), 0.05, 1_000)
    assert assess(plan, arm(canary, 400), arm(0.5, 400, seed=1)).health == health


def test_a_tolerance_counts_from_the_absolute_value():
    plan = Plan(0.5, (Guard("reward", tolerance=0.5),), 0.05, 1_000)
    assert assess(plan, arm(-0.7, 400), arm(-0.5, 400, seed=1)).health == Health.GOOD
    assert assess(plan, arm(-0.8, 400), arm(-0.5, 400, seed=1)).health == Health.BREACH


def test_no_stage_is_left_before_its_hard_limits_count():
    errors = Guard("errors", higher_is_better=False, tolerance=10, at_most=2.0, samples=200)
    plan = Plan(0.1, (REWARD, errors), 0.05, 1_000)
    early = assess(plan, arm(0.9, 150, metrics=2), arm(0.5, 1_500, seed=1, metrics=2))
    assert (early.health, early.reason) == (Health.UNSURE, "few-samples")
    harmed = assess(plan, arm(0.1, 150, metrics=2), arm(0.9, 1_500, seed=1, metrics=2))
    assert (harmed.health, harmed.reason) == (Health.BREACH, "worse")
    assert assess(plan, arm(0.9, 250, metrics=2), arm(0.95, 2_500, seed=1, metrics=2)).reason != "few-samples"


def test_hard_limits_break_as_soon_as_there_are_enough_values():
    plan = Plan(0.1, (REWARD, Guard("latency", higher_is_better=False, at_most=0.2)), 0.05, 1_000)
    assert assess(plan, arm(0.3, 20, metrics=2), Arm(2)).reason == "limit"
    assert assess(plan, arm(0.3, 19, metrics=2), Arm(2)).health == Health.UNSURE
    low = Plan(1.0, (Guard("reward", at_least=-0.2),), 0.05, 1_000)
    found = assess(low, arm(-0.3, 20), Arm(1))
    assert (found.health, "below -0.2" in found.cause) == (Health.BREACH, True)


def test_one_broken_metric_is_enough():
    plan = Plan(0.5, (REWARD, Guard("margin")), 0.05, 1_000)
    canary, stable = Arm(2), Arm(2)
    random = np.random.default_rng(0)
    for n in range(400):
        canary.add(n, (float(random.normal(0.6, 0.1)), float(random.normal(0.1, 0.1))))
        stable.add(n, (float(random.normal(0.5, 0.1)), float(random.normal(0.2, 0.1))))
    found = assess(plan, canary, stable)
    assert (found.health, found.cause.split(":")[0]) == (Health.BREACH, "margin")


def test_arms_that_are_not_assigned_by_their_shares_hold():
    found = assess(PLAN, arm(0.6, 700), arm(0.5, 300, seed=1))
    assert (found.health, found.reason) == (Health.UNSURE, "sample-ratio-mismatch")
    assert found.numbers["ratio"] == 0.7


def test_a_subject_that_comes_often_is_no_mismatch():
    canary, stable = arm(0.6, 500), arm(0.5, 500, seed=1)
    for _ in range(300):
        canary.add(7, (0.6,))
    assert assess(PLAN, canary, stable).reason == ""


def test_the_ratio_may_be_looked_at_always():
    random, alarms = np.random.default_rng(1), 0
    plan = Plan(0.1, (REWARD,), 0.05, 5_000)
    for _ in range(200):
        canary, stable = Arm(1), Arm(1)
        for _ in range(25):
            share = random.random(200) < 0.1
            for group, chosen in zip(random.integers(0, BUCKETS, 200).tolist(), share.tolist(), strict=True):
                (canary if chosen else stable).add(group, (0.0,))
            if assess(plan, canary, stable).reason == "sample-ratio-mismatch":
                alarms += 1
                break
    assert alarms <= 2


def test_few_subjects_prove_nothing_however_often_they_come():
    canary, stable = Arm(1), Arm(1)
    for n in range(3_000):
        canary.add(n % 29, (0.1,))
        stable.add(100 + n % 300, (0.5 + 0.01 * (n % 7),))
    found = assess(PLAN, canary, stable)
    assert (found.health, found.reason) == (Health.UNSURE, "too-few-subjects")


def test_no_values_hold():
    assert assess(PLAN, Arm(1), Arm(1)).reason == "missing-data"
    assert assess(Plan(1.0, (REWARD,), 0.05, 1_000), Arm(1), Arm(1)).health == Health.UNSURE


def test_the_last_stage_with_two_arms_asks_for_proof():
    proving = Plan(0.5, (REWARD,), 0.05, 1_000, proves=True)
    same = assess(proving, arm(0.5, 900), arm(0.5, 900, seed=1))
    assert (same.health, same.reason) == (Health.UNSURE, "not-proven")
    better = assess(proving, arm(0.55, 900), arm(0.5, 900, seed=1))
    assert better.health == Health.GOOD
    tolerant = Plan(0.5, (Guard("reward", tolerance=0.1),), 0.05, 1_000, proves=True)
    assert assess(tolerant, arm(0.5, 900), arm(0.5, 900, seed=1)).health == Health.GOOD


def test_more_subjects_are_only_for_who_is_ahead():
    ahead, level = arm(0.51, 900), arm(0.5, 900)
    assert assess(PLAN, ahead, arm(0.5, 900)).health == Health.GOOD
    found = assess(PLAN, level, arm(0.5, 900))
    assert (found.health, found.reason) == (Health.UNSURE, "not-leading")
    tolerant = Plan(0.5, (Guard("reward", tolerance=0.05),), 0.05, 1_000)
    assert assess(tolerant, level, arm(0.5, 900)).health == Health.GOOD


def test_many_decisions_at_once_are_the_same_as_one_by_one():
    random, one, many = np.random.default_rng(0), Arm(2), Arm(2)
    groups, values = random.integers(0, BUCKETS, 500), random.normal(size=(500, 2))
    many.add_all(groups, values)
    for group, row in zip(groups.tolist(), values.tolist(), strict=True):
        one.add(group, row)
    for metric in (0, 1):
        mean = many.mean(metric)
        assert (mean.value, mean.variance, mean.count) == pytest.approx(
            (one.mean(metric).value, one.mean(metric).variance, 500)
        )
    assert many.count == one.count


def test_plans_share_alpha_among_stages_with_two_arms_and_the_last_of_them_proves():
    plans = [plan_of(RolloutSettings(), n, (REWARD,), 0.1) for n in range(5)]
    assert [each.proves for each in plans] == [False, False, True, False, False]
    assert {each.alpha for each in plans} == {0.05}
    assert [each.tuned_at for each in plans[1:3]] == pytest.approx([5_000, 1_000])


def test_at_share_one_the_record_of_stable_holds_and_does_not_break():
    plan = Plan(1.0, (REWARD,), 0.05, 1_000)
    record = [arm(0.5, 900, seed=1).mean(0)]
    found = assess(plan, arm(0.3, 900), Arm(1), record)
    assert (found.health, found.reason) == (Health.UNSURE, "worse-than-record")
    assert assess(plan, arm(0.5, 900), Arm(1), record).health == Health.GOOD
    assert assess(plan, arm(0.3, 900), Arm(1)).health == Health.GOOD
