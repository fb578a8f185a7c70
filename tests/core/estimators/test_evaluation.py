"""The verdict: what passes, fails, stays open or is refused, on every guarded metric."""

from dataclasses import replace

import numpy as np
import pytest

from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.evaluation import evaluate
from shared.core.estimators.limits import Reason
from shared.core.estimators.log import Logged
from shared.core.estimators.one_step.clipped import ClippedInversePropensity
from shared.core.estimators.registry import one_step
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import Summary
from shared.core.estimators.tuning import choose
from shared.core.estimators.verdict import Guard, Verdict, further_decisions, judge, overall
from tests.core.estimators.logs import logged, on_policy


def found(log, **settings):
    metrics = [guard.name for guard in settings.get("guards", ())]
    summary = Summary(
        one_step(models=log.q_logged is not None),
        metrics=metrics,
        baseline=log.baseline_propensity is not None,
        clustered=log.cluster is not None,
    )
    summary.add(log)
    return evaluate(summary, Settings(**{"resamples": 500, **settings}))


@pytest.mark.parametrize(
    ("lift", "better_by", "verdict"),
    [(0.2, 1.0, Verdict.PASS), (-0.2, 1.0, Verdict.FAIL), (0.2, 0.01, Verdict.INCONCLUSIVE)],
)
def test_a_policy_is_judged_by_where_its_difference_lies(lift, better_by, verdict):
    assert found(on_policy(4000, lift=lift, better_by=better_by)).verdict == verdict


def test_the_difference_is_paired():
    # The policies differ little, so their difference is surer than either mean.
    answer = found(on_policy(4000, lift=0.03, seed=3))
    estimate, judged = answer.estimates["snips"].interval, answer.judgements[0].interval
    assert judged.high - judged.low < 0.3 * (estimate.high - estimate.low)
    assert answer.judgements[0].difference == pytest.approx(
        answer.estimates["snips"].value - answer.baseline.value
    )


def test_an_open_question_names_the_decisions_that_would_settle_it():
    log = on_policy(4000, lift=0.2, better_by=0.01)
    answer = found(log)
    reason = answer.reasons[0]
    assert reason.name == "interval-holds-baseline"
    ends = answer.judgements[0].interval
    half = (ends.high - ends.low) / 2
    wanted = 4000 * ((half / answer.judgements[0].difference) ** 2 - 1)
    assert reason.value == pytest.approx(wanted, abs=1.0)
    assert f"{reason.value:,}" in reason.detail


def test_equal_policies_stay_open_for_ever():
    log = on_policy(500)
    answer = found(log)
    assert answer.verdict == Verdict.INCONCLUSIVE
    assert answer.reasons[0].value is None
    assert further_decisions(0.0, 0.1, 500) is None
    assert further_decisions(0.05, 0.1, 500) == 1500


def test_a_number_can_be_the_baseline():
    log = on_policy(2000)
    assert found(log, baseline=0.3).verdict == Verdict.PASS
    answer = found(log, baseline=0.7)
    assert answer.verdict == Verdict.FAIL
    assert (answer.baseline.value, answer.baseline.interval) == (0.7, Interval(0.7, 0.7))
    assert answer.reasons[0].name == "worse-than-baseline"


def test_another_policys_propensities_can_be_the_baseline():
    log = on_policy(4000, lift=0.1)
    better = replace(log, baseline_propensity=on_policy(4000, lift=0.3).target_propensity)
    answer = found(better)
    assert answer.verdict == Verdict.FAIL
    weight = better.baseline_propensity / log.propensity
    assert answer.baseline.value == pytest.approx(float((weight * log.reward).sum() / weight.sum()))


def test_a_baselines_weights_can_refuse_too():
    log = on_policy(4000, lift=0.1)
    share = np.zeros(4000)
    share[:3] = 1.0
    answer = found(replace(log, baseline_propensity=share))
    assert answer.verdict == Verdict.REFUSED
    assert {"baseline-effective-sample-size", "baseline-maximum-weight"} <= {r.name for r in answer.reasons}


def test_exploding_weights_are_refused():
    draw = np.random.default_rng(0)
    propensity = np.where(draw.random(2000) < 0.004, 1e-4, 0.9)
    answer = found(Logged(draw.random(2000), propensity, np.full(2000, 0.9)))
    assert answer.verdict == Verdict.REFUSED
    names = {reason.name for reason in answer.reasons}
    assert {"effective-sample-size", "tail-weight", "maximum-weight"} <= names
    assert all(reason.limit is not None for reason in answer.reasons)


def test_every_guarded_metric_counts():
    log = on_policy(4000, lift=0.2)
    better = log.target_propensity > 0.5
    latency = np.where(better, 2.0, 1.0) + np.random.default_rng(1).normal(0, 0.1, 4000)
    log = replace(log, metrics={"latency": latency})
    strict = found(log, guards=[Guard("latency", higher_is_better=False)])
    assert [each.verdict for each in strict.judgements] == [Verdict.PASS, Verdict.FAIL]
    assert strict.verdict == Verdict.FAIL
    judged = strict.judgements[1]
    assert judged.baseline == pytest.approx(float(latency.mean()))
    assert judged.difference == pytest.approx(
        float((log.weight * latency).sum() / log.weight.sum() - latency.mean())
    )
    assert (
        found(log, guards=[Guard("latency", higher_is_better=False, tolerance=0.3)]).verdict == Verdict.PASS
    )
    assert found(log, guards=[Guard("latency")]).verdict == Verdict.PASS


def test_a_guard_passes_within_its_tolerance_and_is_open_across_it():
    guard = Guard("x", tolerance=0.1)
    assert judge(guard, 1.0, -0.05, Interval(-0.08, -0.02), 100).verdict == Verdict.PASS
    assert judge(guard, 1.0, -0.05, Interval(-0.15, 0.05), 100).verdict == Verdict.INCONCLUSIVE
    assert judge(guard, 1.0, -0.2, Interval(-0.3, -0.11), 100).verdict == Verdict.FAIL
    refused = judge(guard, 1.0, 0.5, Interval(0.4, 0.6), 100, [Reason("r", 1, 2, "why")])
    assert refused.verdict == Verdict.REFUSED
    with pytest.raises(ValueError, match="tolerance of x"):
        Guard("x", tolerance=-0.1)


def test_the_worst_verdict_is_the_overall_one():
    def verdict(*each):
        return overall(judge(Guard(str(n)), 0.0, 0.0, *given) for n, given in enumerate(each))

    passes, fails, opened = (Interval(1, 2), 9), (Interval(-2, -1), 9), (Interval(-1, 1), 9)
    refused = (Interval(1, 2), 9, [Reason("r", 1, 2, "why")])
    assert verdict(passes, passes) == Verdict.PASS
    assert verdict(passes, opened) == Verdict.INCONCLUSIVE
    assert verdict(passes, opened, fails) == Verdict.FAIL
    assert verdict(fails, refused) == Verdict.REFUSED


def test_estimates_are_the_estimators_own_and_families_are_tuned():
    log = logged(3000)
    answer = found(log)
    for estimator in one_step():
        answered = answer.estimates[estimator.name]
        if estimator.parameter in (None, answered.parameter):
            assert answered.value == pytest.approx(estimator.terms(log).value, rel=1e-9)
            assert answered.interval.low < answered.value < answered.interval.high
    assert answer.effective_sample_size == pytest.approx(log.weight.sum() ** 2 / (log.weight**2).sum())
    assert answer.max_weight == log.weight.max()
    assert answer.decided_by == "dr"
    assert found(log, decides="ips").decided_by == "ips"


def test_a_family_gives_up_weight_where_the_tail_costs_more_than_the_bias():
    draw = np.random.default_rng(5)
    rows = 4000
    propensity = np.where(draw.random(rows) < 0.02, 0.002, 0.5)
    reward = draw.normal(1.0, 1.0, rows)
    right = np.ones(rows)
    heavy = Logged(reward, propensity, np.full(rows, 0.5), right, right)
    assert found(heavy).estimates["switch_dr"].parameter < 250
    even = Logged(reward, np.full(rows, 0.5), np.full(rows, 0.5), right, right)
    assert found(even).estimates["clipped_ips"].value == pytest.approx(float(reward.mean()))
    biased = Logged(reward, draw.uniform(0.05, 1, rows), np.full(rows, 0.5), right * 9, right * 9)
    assert found(biased).estimates["switch_dr"].parameter >= 10


def test_a_bias_that_chance_explains_does_not_count_in_full():
    # Two heavy decisions: cutting them moves the estimate by .96, of which .67 would be chance.
    propensity = np.full(100, 0.5)
    propensity[:2] = 0.01
    family = [ClippedInversePropensity(limit) for limit in (2.0, float("inf"))]
    summary = Summary(family)
    summary.add(Logged((np.arange(100) < 2).astype(float), propensity, np.full(100, 0.5)))
    assert choose(family, summary.units.columns()).parameter == 2


def test_subjects_widen_intervals_when_their_rows_agree():
    draw = np.random.default_rng(1)
    subject = np.repeat(np.arange(200, dtype=np.uint64), 20)
    reward = np.repeat(draw.normal(size=200), 20) + 0.1 * draw.normal(size=4000)
    alone = Logged(reward, np.full(4000, 0.5), np.full(4000, 0.5))
    apart, together = (found(each).estimates["ips"] for each in (alone, replace(alone, cluster=subject)))
    ratio = (together.interval.high - together.interval.low) / (apart.interval.high - apart.interval.low)
    assert ratio == pytest.approx(20**0.5, rel=0.15)
    assert together.standard_error / apart.standard_error == pytest.approx(20**0.5, rel=0.1)
    assert together.bernstein.high - together.bernstein.low > apart.bernstein.high - apart.bernstein.low
    assert together.sequence.high - together.sequence.low > 4 * (apart.sequence.high - apart.sequence.low)


def test_every_interval_is_wider_the_more_it_promises():
    answer = found(logged(5000)).estimates["ips"]
    widths = [each.high - each.low for each in (answer.interval, answer.sequence, answer.bernstein)]
    assert widths[0] < widths[1]
    assert widths[0] < widths[2]
    assert answer.interval.high - answer.interval.low == pytest.approx(3.92 * answer.standard_error, rel=0.15)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"resamples": 10}, "resamples is 10"),
        ({"seed": -1}, "seed is -1"),
        ({"method": "basic"}, "percentile, bca"),
        ({"baseline": float("nan")}, "baseline is nan"),
        ({"tuned_at": 0.0}, "tuned_at is 0.0"),
        ({"decides": "magic"}, "no estimate is called 'magic'"),
    ],
)
def test_wrong_settings_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        found(on_policy(300), **wrong)


def test_an_empty_log_is_no_evaluation():
    with pytest.raises(ValueError, match="no decisions"):
        evaluate(Summary(one_step()), Settings())
