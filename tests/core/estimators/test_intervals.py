"""Bootstrap, empirical Bernstein and confidence sequences against loops, and against what they promise."""

import math
import random
from statistics import NormalDist

import numpy as np
import pytest

from shared.core.estimators.bernstein import empirical_bernstein
from shared.core.estimators.bootstrap import Bootstrap
from shared.core.estimators.confidence_sequences import (
    BernsteinSequence,
    asymptotic_half_width,
    mixture_precision,
)


def snips(sums):
    return sums["weighted"] / sums["weight"]


def units(count=400, seed=0):
    draw = np.random.default_rng(seed)
    weight = draw.gamma(2.0, 0.5, count)
    return {"rows": np.ones(count), "weight": weight, "weighted": weight * (draw.random(count) < 0.3)}


def loop_resamples(sums, resamples, seed):
    """SNIPS of resamples drawn row by row by another generator, renormalised in each."""
    rows = list(zip(sums["weighted"].tolist(), sums["weight"].tolist(), strict=True))
    draw = random.Random(seed)
    values = []
    for _ in range(resamples):
        drawn = draw.choices(rows, k=len(rows))
        values.append(sum(w for w, _ in drawn) / sum(d for _, d in drawn))
    return sorted(values)


def test_percentiles_are_those_of_renormalised_resamples():
    sums = units()
    found = Bootstrap(sums, resamples=4000, seed=1).interval(snips, 0.05)
    values = loop_resamples(sums, 2000, seed=2)
    width = values[1950] - values[50]
    assert found.low == pytest.approx(values[50], abs=0.06 * width)
    assert found.high == pytest.approx(values[1950], abs=0.06 * width)


def test_a_resample_draws_as_many_units_as_there_are_each_equally_often():
    sums = {"rows": np.ones(7), "first": np.eye(7)[0], "last": np.eye(7)[6]}
    bootstrap = Bootstrap(sums, resamples=20_000, seed=3)
    rows = bootstrap.interval(lambda each: each["rows"], 0.05)
    assert rows.low == rows.high == 7
    for name in ("first", "last"):
        mean = float(np.mean(bootstrap._drawn[name]))
        assert mean == pytest.approx(1.0, abs=0.03)
        assert float(np.var(bootstrap._drawn[name])) == pytest.approx(6 / 7, abs=0.05)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    sums = units()
    one, same, other = (Bootstrap(sums, resamples=300, seed=seed).interval(snips, 0.1) for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_bca_corrects_for_skewness_as_its_formula_says():
    draw = np.random.default_rng(4)
    values = draw.exponential(size=40)
    sums = {"rows": np.ones(40), "x": values}

    def mean(columns):
        return columns["x"] / columns["rows"]

    bootstrap = Bootstrap(sums, resamples=4000, seed=0, method="bca")
    drawn = sorted(mean(bootstrap._drawn).tolist())
    normal, centre = NormalDist(), values.mean()
    bias = normal.inv_cdf(sum(each < centre for each in drawn) / len(drawn))
    rest = [(values.sum() - each) / 39 for each in values]
    apart = [sum(rest) / 40 - each for each in rest]
    acceleration = sum(each**3 for each in apart) / (6 * sum(each**2 for each in apart) ** 1.5)
    expected = []
    for share in (0.025, 0.975):
        z = bias + normal.inv_cdf(share)
        expected.append(np.quantile(drawn, normal.cdf(bias + z / (1 - acceleration * z))))
    found = bootstrap.interval(mean, 0.05)
    assert [found.low, found.high] == pytest.approx(expected, rel=1e-6)
    plain = Bootstrap(sums, resamples=4000, seed=0).interval(mean, 0.05)
    assert found.low > plain.low
    assert found.high > plain.high


def test_what_is_not_defined_has_no_interval():
    sums = {"rows": np.ones(3), "weight": np.zeros(3), "weighted": np.zeros(3)}
    found = Bootstrap(sums, resamples=100, seed=0).interval(snips, 0.05)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    with pytest.raises(ValueError, match="nothing to resample"):
        Bootstrap({"rows": np.empty(0)}, resamples=100, seed=0)
    with pytest.raises(ValueError, match="percentile, bca"):
        Bootstrap(sums, resamples=100, seed=0, method="basic")


def test_a_unit_deviates_by_what_the_statistic_loses_without_it():
    sums = units(50)
    found = Bootstrap(sums, resamples=100, seed=0).deviations(snips)
    without = {name: np.delete(each, 3).sum() for name, each in sums.items()}
    whole = {name: each.sum() for name, each in sums.items()}
    assert found[3] == pytest.approx(49 * (snips(whole) - snips(without)), rel=1e-9)


def test_empirical_bernstein_is_the_theorems_formula():
    found = empirical_bernstein(mean=0.3, variance=0.2, count=500, span=2.0, alpha=0.05)
    log = math.log(2 / 0.025)
    half = math.sqrt(2 * 0.2 * log / 500) + 7 * 2.0 * log / (3 * 499)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half))
    assert empirical_bernstein(0.3, 0.2, 1, 2.0, 0.05) is None


def test_the_asymptotic_sequence_is_the_papers_width():
    count, variance, alpha, tuned_at = 700, 1.7, 0.05, 5000.0
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned_at)
    inner = 2 * (count * rho**2 + 1) * math.log(math.sqrt(count * rho**2 + 1) / alpha) / (count * rho) ** 2
    assert mixture_precision(alpha, tuned_at) == pytest.approx(rho**2)
    found = asymptotic_half_width(variance, count, alpha, tuned_at)
    assert found == pytest.approx(math.sqrt(variance) * math.sqrt(inner))
    assert asymptotic_half_width(variance, 0, alpha, tuned_at) == math.inf


@pytest.mark.parametrize(
    ("canary", "stable", "alpha", "half"),
    [
        ((100, 30), (900, 270), 0.05, 0.16249121455400223),
        ((5000, 1600), (5000, 1500), 0.05, 0.028311630277605165),
        ((123, 20), (9000, 3000), 0.01, 0.12077012849001473),
        ((50000, 15500), (50000, 15000), 0.05, 0.00971592986318262),
        ((40, 30), (60, 20), 0.1, 0.593999535558104),
    ],
)
def test_growthbooks_sequential_test_of_two_proportions_has_the_same_width(canary, stable, alpha, half):
    """Half widths of SequentialTwoSidedTTest, absolute differences, in gbstats 0.8.0, tuned at 5,000."""
    parts = [won / n * (1 - won / n) / n for n, won in (canary, stable)]
    count = canary[0] + stable[0]
    assert asymptotic_half_width(sum(parts) * count, count, alpha, 5000.0) == pytest.approx(half, rel=1e-12)


def test_the_asymptotic_sequence_is_nearly_tightest_where_it_is_tuned():
    tight = asymptotic_half_width(1.0, 5000, 0.05, 5000)
    assert tight <= 1.001 * min(
        asymptotic_half_width(1.0, 5000, 0.05, at) for at in (500, 2500, 10_000, 50_000)
    )


def test_looking_always_rarely_rejects_the_truth():
    draw = np.random.default_rng(6)
    values = np.cumsum(draw.random((300, 3000)) < 0.2, axis=1)
    counts = np.arange(1, 3001)
    means = values / counts
    looks = np.arange(99, 3000, 29)
    half = np.array(
        [
            [
                asymptotic_half_width(m * (1 - m), n, 0.05, 1000)
                for m, n in zip(row[looks], counts[looks], strict=True)
            ]
            for row in means
        ]
    )
    assert np.mean((np.abs(means[:, looks] - 0.2) > half).any(axis=1)) <= 0.05


def loop_sequence(values, alpha, cap=0.5):
    """Waudby-Smith and Ramdas' theorem 2 value by value, for values in [0, 1]."""
    bets = won = paid = 0.0
    total, squares = 0.5, 0.25
    for t, x in enumerate(values, 1):
        mean, variance = total / t, squares / t
        bet = min(math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1))), cap)
        bets, won = bets + bet, won + bet * x
        paid += (x - mean) ** 2 * (-math.log(1 - bet) - bet)
        total += x
        squares += (x - total / (t + 1)) ** 2
    half = (math.log(2 / alpha) + paid) / bets
    return won / bets - half, won / bets + half


def test_the_exact_sequence_equals_a_loop_however_values_are_cut():
    values = np.random.default_rng(7).beta(2, 5, 400)
    sequence = BernsteinSequence(-1.0, 3.0)
    for part in np.array_split(values, [1, 17, 200]):
        sequence.add(part * 4 - 1)
    low, high = loop_sequence(values.tolist(), 0.05)
    assert sequence.interval().low == pytest.approx(low * 4 - 1, rel=1e-9)
    assert sequence.interval().high == pytest.approx(high * 4 - 1, rel=1e-9)
    assert sequence.count == 400


def test_the_exact_sequence_holds_the_truth_at_every_look_and_tightens():
    misses = 0
    for seed in range(200):
        sequence, draw, missed = BernsteinSequence(0.0, 1.0), np.random.default_rng(seed), False
        for _ in range(40):
            sequence.add((draw.random(25) < 0.1).astype(float))
            ends = sequence.interval()
            missed |= not ends.low <= 0.1 <= ends.high
        misses += missed
        assert ends.high - ends.low < 0.12
    assert misses / 200 <= 0.05


def test_the_exact_sequence_refuses_values_beyond_its_range():
    sequence = BernsteinSequence(0.0, 1.0)
    assert (sequence.interval().low, sequence.interval().high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="outside"):
        sequence.add(np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="outside"):
        sequence.add(np.array([np.nan]))
