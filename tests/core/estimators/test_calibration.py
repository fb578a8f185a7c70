"""Widening by what earlier predictions missed."""

import math

import numpy as np
import pytest

from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.calibration import (
    sequence_error,
    standard_error,
    standardised_miss,
    widening,
)
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.estimators.settings import Settings


def test_intervals_tell_the_standard_error_that_they_claim() -> None:
    assert standard_error(Interval(1 - 1.959964 * 0.3, 1 + 1.959964 * 0.3), 0.05) == pytest.approx(0.3, 1e-6)
    half = asymptotic_half_width(0.3**2 * 700, 700, 0.05, 5000.0)
    assert sequence_error(Interval(-half, half), 700, 0.05, 5000.0) == pytest.approx(0.3)


def test_a_miss_is_counted_in_errors_of_both_sides() -> None:
    assert standardised_miss(1.0, 0.3, 2.0, 0.4) == pytest.approx(2.0)
    assert standardised_miss(1.0, 0.0, 1.0, 0.0) == 0.0
    assert math.isinf(standardised_miss(1.0, 0.0, 2.0, 0.0))


def test_right_intervals_are_left_and_short_ones_widened_by_what_they_lack() -> None:
    draw = np.random.default_rng(1).normal(size=4000)
    assert widening(draw) == pytest.approx(1.0, abs=0.03)
    assert widening(3 * draw) == pytest.approx(3.0, rel=0.03)
    assert widening(draw / 5) == 1.0  # too long does no harm
    assert widening([]) == widening([math.inf]) == 1.0
    assert widening([2.0, -4.0]) == pytest.approx(math.sqrt(10))


@pytest.mark.parametrize("factor", [0.9, math.inf, math.nan])
def test_a_factor_that_would_narrow_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="widening"):
        Settings(widening=factor)


def test_both_ends_move_from_the_value() -> None:
    assert Interval(0.0, 4.0).around(1.0, 2.0) == Interval(-1.0, 7.0)
