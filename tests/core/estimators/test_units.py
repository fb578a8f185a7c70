"""Sums over units: complete, mergeable, and as good to resample as the rows."""

import numpy as np
import pytest

from shared.core.estimators.bootstrap import Bootstrap
from shared.core.estimators.registry import one_step
from shared.core.estimators.summary import REWARD, WEIGHT, Summary, numerator
from shared.core.estimators.units import UNITS, Units
from tests.core.estimators.logs import logged, parts


def summary(log, size, estimators=None):
    found = Summary(estimators or one_step(), clustered=log.cluster is not None)
    for part in parts(log, size):
        found.add(part)
    return found


def test_a_short_logs_units_are_its_rows():
    log = logged(500)
    columns = summary(log, 77).units.columns()
    assert np.array_equal(columns["rows"], np.ones(500))
    assert np.array_equal(columns[REWARD], log.reward)
    assert np.array_equal(columns[WEIGHT], log.weight)


def test_a_long_logs_rows_go_round_in_turn():
    rows = 2 * UNITS + 5
    units = Units(["x"])
    values = np.arange(rows, dtype=float)
    for part in np.array_split(values, 7):
        units.add({"x": part})
    columns = units.columns()
    assert columns["rows"].tolist() == [3.0] * 5 + [2.0] * (UNITS - 5)
    assert columns["x"][4] == 4 + (4 + UNITS) + (4 + 2 * UNITS)
    assert columns["x"].sum() == values.sum()


def test_a_subjects_rows_fall_together_wherever_they_lie():
    log = logged(3000, subjects=40)
    columns = summary(log, 250).units.columns()
    assert len(columns["rows"]) == 40
    sums = sorted(float(log.reward[log.cluster == subject].sum()) for subject in range(40))
    assert sorted(columns[REWARD].tolist()) == pytest.approx(sums)


@pytest.mark.parametrize("subjects", [0, 60])
def test_parts_summed_apart_merge_to_the_whole(subjects):
    log = logged(900, subjects=subjects)
    whole = summary(log, 900)
    halves = list(parts(log, 450))
    first, second = summary(halves[0], 100), summary(halves[1], 100)
    second.merge(first)
    assert second.rows == whole.rows == 900
    assert second.weights.effective_sample_size == pytest.approx(whole.weights.effective_sample_size)
    assert second.weights.largest == whole.weights.largest
    assert np.array_equal(second.weights.histogram, whole.weights.histogram)
    for name, column in whole.units.sums.items():
        assert float(second.units.sums[name].sum()) == pytest.approx(float(column.sum()))
    for name, seen in whole.ranges.items():
        assert (second.ranges[name].low, second.ranges[name].high) == (seen.low, seen.high)
        assert second.ranges[name].squares == pytest.approx(seen.squares)


def test_pooled_units_give_the_interval_of_rows():
    rows = 5 * UNITS
    log = logged(rows, models=False)
    ips = one_step(models=False)[0]
    pooled = summary(log, 40_000, [ips]).units.columns()
    assert len(pooled["rows"]) == UNITS
    found = Bootstrap(pooled, resamples=2000, seed=0).interval(
        lambda sums: sums[numerator(ips)] / sums["rows"], 0.05
    )
    terms = ips.terms(log).numerator
    half = 1.96 * terms.std() / rows**0.5
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)


def test_chunks_must_agree_on_their_columns():
    found = summary(logged(50), 50)
    with pytest.raises(ValueError, match="subjects"):
        found.add(logged(50, subjects=3))
