"""A statistic's value with every interval it is reported with."""

from dataclasses import dataclass, replace

import numpy as np

from shared.core.estimators.bernstein import empirical_bernstein
from shared.core.estimators.bootstrap import Bootstrap, Columns, Interval, Statistic
from shared.core.estimators.confidence_sequences import asymptotic_half_width
from shared.core.estimators.contract import Estimator
from shared.core.estimators.log import Logged
from shared.core.estimators.settings import Settings
from shared.core.estimators.summary import Summary, denominator, numerator
from shared.core.estimators.tuning import ratio


@dataclass(frozen=True)
class Estimate:
    """One estimator's answer."""

    name: str
    parameter: float | None
    """The chosen member of a family."""
    value: float
    interval: Interval
    """Bootstrap, the headline."""
    sequence: Interval
    """Asymptotic confidence sequence: holds however often one looks."""
    bernstein: Interval | None
    """Empirical Bernstein, taking the range seen for the range possible; means only."""
    standard_error: float


class Measure:
    """Estimates of one log, all from the same resamples."""

    def __init__(self, summary: Summary, settings: Settings, columns: Columns, bootstrap: Bootstrap) -> None:
        self._summary, self._settings = summary, settings
        self._columns, self._bootstrap = columns, bootstrap

    def estimator(self, estimator: Estimator[Logged]) -> Estimate:
        """Return an estimator's answer."""
        found = self.statistic(estimator.name, ratio(estimator, self._columns))
        bernstein = None
        if denominator(estimator) not in self._columns:
            bernstein = self._bernstein(numerator(estimator), found.value)
        return replace(found, parameter=estimator.parameter, bernstein=bernstein)

    def statistic(self, name: str, statistic: Statistic) -> Estimate:
        """Return any statistic of the log's sums with its intervals."""
        value, alpha, rows = self._bootstrap.value(statistic), self._settings.alpha, self._summary.rows
        error = _standard_error(self._bootstrap.deviations(statistic))
        factor = self._settings.widening
        half = factor * asymptotic_half_width(error**2 * rows, rows, alpha, self._settings.tuned_at)
        interval = self._bootstrap.interval(statistic, alpha).around(value, factor)
        return Estimate(name, None, value, interval, Interval(value - half, value + half), None, error)

    def _bernstein(self, name: str, mean: float) -> Interval | None:
        alpha, rows = self._settings.alpha, self._summary.rows
        if not self._summary.clustered:
            seen = self._summary.ranges[name]
            variance = max(0.0, seen.squares - rows * mean**2) / max(1, rows - 1)
            return empirical_bernstein(mean, variance, rows, seen.high - seen.low, alpha)
        # Subjects are what is independent: the mean over rows is one over subjects' sums, rescaled.
        sums = self._columns[name] * (len(self._columns[name]) / rows)
        variance = float(sums.var(ddof=1)) if len(sums) > 1 else 0.0
        return empirical_bernstein(mean, variance, len(sums), float(np.ptp(sums)), alpha)


def _standard_error(deviations: np.ndarray) -> float:
    """Jackknife standard error of (m,) deviations; NaN of less than two."""
    count = len(deviations)
    if count < 2:
        return float("nan")
    return float(np.sqrt(((deviations - deviations.mean()) ** 2).sum() / (count * (count - 1))))
