"""What looks at candidates say, as metrics."""

from contextlib import suppress
from typing import Any

from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import VERDICTS, Evaluation
from shared.wire.training import Candidate


class Shown:
    """The gauges of candidates that are followed."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def show(self, found: Evaluation) -> None:
        """Set a candidate's gauges to what a look says."""
        labels = (found.application, found.candidate_id)
        self._metrics.shadow_effective.labels(*labels).set(found.effective_sample_size)
        for verdict in VERDICTS:
            self._metrics.shadow_verdict.labels(*labels, verdict).set(verdict == found.verdict)
        if found.metrics:
            reward = found.metrics[0]
            self._metrics.shadow_difference.labels(*labels).set(reward.difference)
            self._metrics.shadow_low.labels(*labels).set(reward.difference_low)
            self._metrics.shadow_high.labels(*labels).set(reward.difference_high)

    def hide(self, candidate: Candidate) -> None:
        """Remove them."""
        labels = (candidate.application, candidate.candidate_id)
        for gauge in self._gauges:
            with suppress(KeyError):
                gauge.remove(*labels)
        for verdict in VERDICTS:
            with suppress(KeyError):
                self._metrics.shadow_verdict.remove(*labels, verdict)

    @property
    def _gauges(self) -> list[Any]:
        found = self._metrics
        return [found.shadow_difference, found.shadow_low, found.shadow_high, found.shadow_effective]
