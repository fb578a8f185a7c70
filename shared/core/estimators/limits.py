"""What an evaluation may rest on, and what it is called when it may not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why a verdict is what it is: a name, the number that decided it, and the limit it was held against."""

    name: str
    value: float | None
    limit: float | None
    detail: str


@dataclass(frozen=True)
class Limits:
    """When an evaluation is refused. `streamwheel benchmark coverage` shows what the defaults let through."""

    effective_sample_size: float = 100.0
    """Fewest decisions' worth of weight. Below, a standard error is itself unsure by more than
    1 / sqrt(2 * 100) = 7 %, and the ratio's bias of order 1 / ESS is no longer small beside it."""
    units: int = 30
    """Fewest subjects (or decisions) to resample: with less, percentile intervals are visibly too short."""
    largest_share: float = 0.05
    """Most of all weight that one decision may have: a normal limit needs every term to be negligible."""
    tail_weight: float = 40.0
    """Fewest units' worth that the variance of the mean weight may rest on: (sum d^2)^2 / sum d^4 of the
    units' deviations d. Below, intervals of IPS miss a skewed truth: 85 % instead of 95 %."""
    expected_tail_weight: float = 10.0
    """The same where the logging policy's distributions are known, and so the deviations to expect instead of
    those that were drawn: 90 % are held from there on. It may be less, because it does not depend on luck."""
    rare_reward: float = 10.0
    """The same for the estimate itself. It may be less: ten clicks in any number of decisions still give an
    interval, nine give a guess."""
    mean_weight_p: float = 0.001
    """Weights average 1 if propensities are right and the log supports the target. A smaller p-value says
    that they do not; small, because every evaluation is tested."""
    mean_weight_distance: float = 0.01
    """Distance from 1 that never matters, however sure a long log makes it."""
    unsupported: float = 0.01
    """Most of the target's probability that may lie where the log has none: it biases the estimate by up to
    that share of the rewards' range."""
    sample_ratio_p: float = 0.001
    """Below it, arms' counts are not those of their shares: the usual level for this check, which runs
    always."""
    oldest_s: float = 7 * 24 * 3600.0
    """Age of the newest decision beyond which a log says nothing about today: a week, so that a pause over
    a weekend or a holiday passes."""
    overlap: float = 0.8
    """Least share of the longer of two compared windows that both cover: cohorts of different days differ
    for reasons of the calendar."""
    unreproducible: float = 0.0
    """Most of the logged propensities that may differ from recomputed ones: none, they are exact."""
    repeated_vectors: float = 0.05
    """Most of the decisions whose vector of numbers was given before: each such point has a probability, and
    no density."""
    smoothing_bias: float = 0.75
    """Largest bias of a kernel around a policy's vector, in standard errors: it leaves a 95 % interval 88 %.
    Chance alone exceeds it in one evaluation of a hundred."""
