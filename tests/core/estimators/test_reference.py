"""Vectors that are weighed one by one, by what earlier ones settled."""

from dataclasses import replace

import numpy as np
import pytest

from shared.core.estimators.continuous.reference import Reference
from shared.core.estimators.continuous.weighing import VectorLog, Weighing, default_bandwidth
from tests.core.estimators.test_continuous import TRUTH, log_of


def part(log: VectorLog, rows: slice) -> VectorLog:
    assert log.density is not None
    return VectorLog(*(each[rows] for each in (log.contexts, log.taken, log.wanted, log.reward, log.density)))


def test_weights_are_those_of_a_whole_log_where_both_are_of_the_same_decisions() -> None:
    log = log_of(3000, logged=True)
    reference, weighing = Reference.fit(log), Weighing(log)
    assert reference.bandwidth == weighing.bandwidth == default_bandwidth(3000, 2)
    narrow, wide = reference.weights(log)
    np.testing.assert_allclose(narrow, weighing.weighed().weight, rtol=1e-9)
    np.testing.assert_allclose(wide, weighing.weighed(2.0).weight, rtol=1e-9)


def test_a_decision_is_weighed_alike_whoever_is_beside_it() -> None:
    log = log_of(2000, seed=1, logged=True)
    reference = Reference.fit(log_of(1500, seed=2, logged=True), bandwidth=0.3)
    every, few = reference.weights(log), reference.weights(part(log, slice(70, 90)))
    assert np.array_equal(every[:, 70:90], few)
    np.testing.assert_allclose(
        reference.predicted(log).target[70:90], reference.predicted(part(log, slice(70, 90))).target
    )


def test_corrected_predictions_average_to_the_truth_of_later_decisions() -> None:
    reference, log = Reference.fit(log_of(4000, seed=3, logged=True)), log_of(40_000, seed=4, logged=True)
    (weight, _), predicted = reference.weights(log), reference.predicted(log)
    each = predicted.target + weight * (log.reward - predicted.logged)
    error = each.std() / len(each) ** 0.5
    assert weight.mean() == pytest.approx(1, abs=0.05)
    assert abs(each.mean() - TRUTH) < 3 * error
    assert abs(predicted.target.mean() - TRUTH) > 3 * error  # what the model says alone is another thing


def test_what_never_varied_before_has_no_weight() -> None:
    log = log_of(1000, seed=5)
    taken = np.column_stack([log.taken, 1 - log.taken.sum(axis=1)])
    wanted = np.column_stack([log.wanted, 1 - log.wanted.sum(axis=1)])
    log = replace(log, taken=taken, wanted=wanted, density=np.ones(1000))
    reference = Reference.fit(log)
    assert (reference.weights(log) > 0).any()
    assert not reference.weights(replace(log, wanted=wanted + 0.1)).any()
    with pytest.raises(ValueError, match="all vectors are alike"):
        Reference.fit(replace(log, taken=np.ones((1000, 3))))


def test_references_are_told_apart() -> None:
    one, other = log_of(500, logged=True), log_of(500, seed=9, logged=True)
    assert Reference.fit(one).digest == Reference.fit(one).digest
    assert Reference.fit(one).digest != Reference.fit(other).digest
    assert Reference.fit(one).digest != Reference.fit(one, 0.5).digest
    assert "500 earlier decisions" in str(Reference.fit(one))
