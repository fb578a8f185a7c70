"""What stages of rollouts realised, against what was predicted of their candidates."""

from collections import deque
from collections.abc import Mapping

from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.calibration import (
    sequence_error,
    standard_error,
    standardised_miss,
    widening,
)
from shared.wire.rollouts import Evaluation, Kind, MetricEstimate

STAGES = 50
"""The last ones that count: what was learnt of other models and other years fades."""


class Calibration:
    """Misses of one application; `alpha` is 1 - level of its intervals, `tuned_at` that of its confidence
    sequences."""

    def __init__(self, alpha: float, tuned_at: float) -> None:
        self._alpha, self._tuned_at = alpha, tuned_at
        self.misses: deque[float] = deque(maxlen=STAGES)

    @property
    def widening(self) -> float:
        """Factor on the next intervals; 1 while nothing was realised."""
        return widening(self.misses)

    def learn(self, realised: Evaluation, before: Mapping[Kind, Evaluation]) -> None:
        """Compare a stage with the last prediction of its candidate, if there is one with figures."""
        if realised.kind != "stage" or not realised.metrics:
            return
        predictions = [each for kind, each in before.items() if kind != "stage" and each.metrics]
        if not predictions:
            return
        last = max(predictions, key=lambda each: each.at)
        told, found = last.metrics[0], realised.metrics[0]
        if told.name != found.name:
            return  # scores of a language model's answers are no rewards of users
        error = standard_error(_ends(found), self._alpha)
        self.misses.append(
            standardised_miss(told.difference, self._claimed(last, told), found.difference, error)
        )

    def _claimed(self, evaluation: Evaluation, told: MetricEstimate) -> float:
        """The standard error that was claimed, before it was widened."""
        ends = _ends(told)
        if evaluation.kind == "shadow":
            error = sequence_error(ends, evaluation.decisions, self._alpha, self._tuned_at)
        else:
            error = standard_error(ends, self._alpha)
        return error / evaluation.widening


def _ends(metric: MetricEstimate) -> Interval:
    return Interval(metric.difference_low, metric.difference_high)
