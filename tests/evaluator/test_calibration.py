"""Widening by what stages realised: right intervals stay as they are, of whichever kind they were."""

from typing import Any

import numpy as np
import pytest

from services.evaluator.calibration import STAGES, Calibration
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.wire.rollouts import Evaluation, MetricEstimate

ALPHA, TUNED_AT, DECISIONS = 0.05, 5_000.0, 2_000
TOLD_ERROR, REALISED_ERROR = 0.03, 0.04
Z = 1.959964


def evaluation(kind: Any, value: float, half: float, at: int, widening: float = 1.0) -> Evaluation:
    metric = MetricEstimate(
        "reward", "dr", value, value, value, 0.0, value, value - half, value + half, "pass"
    )
    return Evaluation(
        f"{kind}-{at}",
        "shop",
        "c",
        kind,
        "pass",
        at,
        metrics=(metric,),
        decisions=DECISIONS,
        widening=widening,
    )


def half_width(kind: str, error: float, widening: float) -> float:
    """Of an interval of level .95 at one time, or at all times."""
    if kind == "shadow":
        variance = error**2 * DECISIONS
        return widening * asymptotic_half_width(variance, DECISIONS, ALPHA, TUNED_AT)
    return widening * Z * error


@pytest.mark.parametrize("kind", ["log", "shadow"])
@pytest.mark.parametrize("widened", [1.0, 2.5])
@pytest.mark.parametrize("short", [1.0, 3.0])
def test_a_prediction_is_held_to_the_error_that_it_claimed(kind: str, widened: float, short: float) -> None:
    """A confidence sequence is wider than an interval of one time for the same error, and one that was
    widened before claims no more: read as they stand, both would hide what misses by three errors."""
    draw, found = np.random.default_rng(5), Calibration(ALPHA, TUNED_AT)
    for n in range(400):
        told = short * TOLD_ERROR * draw.standard_normal()
        realised = short * REALISED_ERROR * draw.standard_normal()
        before = evaluation(kind, told, half_width(kind, TOLD_ERROR, widened), 2 * n, widened)
        stage = evaluation("stage", realised, Z * REALISED_ERROR, 2 * n + 1)
        found.learn(stage, {kind: before})
        if n == 0:
            one = found.misses[0]
            assert one == pytest.approx((realised - told) / np.hypot(TOLD_ERROR, REALISED_ERROR), rel=1e-6)
    assert len(found.misses) == STAGES
    assert found.widening == pytest.approx(short, rel=0.25)
