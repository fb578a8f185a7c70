"""Named reasons not to believe an evaluation, each with its number and limit."""

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.bootstrap import Columns
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.weights import ROUNDING, Weights


def weight_reasons(weights: Weights, columns: Columns, weight: str, limits: Limits) -> Iterator[Reason]:
    """Yield what speaks against weights; `weight` names their sums in `columns`.

    Where the logging policy's distributions are known, so is what weights to expect: whether they are too
    uneven is then told by these, since a log that is believed because its heavy decisions happened not to be
    drawn would be believed when it is wrong. Where some are not known, the limit is between both.
    """
    size, units = weights.effective_sample_size, len(columns["rows"])
    if weights.foreseen:
        size = weights.expected_effective_sample_size
    if size < limits.effective_sample_size:
        detail = f"{weights.count} decisions weigh as much as {size:.1f} of the target policy's own"
        yield Reason("effective-sample-size", size, limits.effective_sample_size, detail)
    if units < limits.units:
        detail = "too few independent subjects (decisions, where there are none) to resample"
        yield Reason("few-units", units, limits.units, detail)
    if weights.largest_share > limits.largest_share:
        detail = f"one decision, of weight {weights.largest:.4g}, has this share of all weight"
        yield Reason("maximum-weight", weights.largest_share, limits.largest_share, detail)
    carried, least = weights.carried, limits.tail_weight
    if weights.foreseen:
        known = weights.foreseen / weights.count
        least = known * limits.expected_tail_weight + (1 - known) * limits.tail_weight
    else:
        deviations = columns[weight] - weights.mean * columns["rows"]
        carried = carried_by(deviations, weights.mean) or math.inf
    if not carried >= least:
        detail = "the variance of the weights rests on this many units: intervals would miss what is rarer"
        yield Reason("tail-weight", carried, least, detail)
    p, distance = mean_weight_test(columns, weight), abs(weights.mean - 1)
    if p < limits.mean_weight_p and distance > limits.mean_weight_distance:
        detail = f"the mean weight is {weights.mean:.4g} and should be 1 (p-value beside the limit): " + (
            "the target takes actions that the log has none of, or propensities are wrong"
            if weights.mean < 1
            else "logged propensities are too small, or not those of the logged actions"
        )
        yield Reason(
            "missing-support" if weights.mean < 1 else "mean-weight", p, limits.mean_weight_p, detail
        )


def mean_weight_test(columns: Columns, weight: str) -> float:
    """Return the two-sided p-value of the hypothesis that weights average one (z-test over units)."""
    rows, sums = columns["rows"], columns[weight]
    total, deviations = float(rows.sum()), sums - rows
    if not (spread := float(np.sqrt(((deviations - deviations.mean()) ** 2).sum()))):
        return 1.0 if abs(float(deviations.sum())) <= 1e-9 * total else 0.0
    return 2 * (1 - NormalDist().cdf(abs(float(deviations.sum())) / spread))


def carried_by(deviations: Floats, scale: float) -> float:
    """Return how many equally heavy units would carry the same variance: (sum d^2)^2 / sum d^4 of (m,)
    deviations d; zero where nothing deviates by more than rounding at that scale."""
    squares = np.where(np.abs(deviations) > ROUNDING * abs(scale), deviations, 0.0) ** 2
    fourth = float((squares**2).sum())
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else 0.0


def reward_reasons(deviations: Floats, value: float, limits: Limits) -> Iterator[Reason]:
    """Yield what speaks against an estimate of that value, given how far each unit moves it.

    Rewards that do not vary at all speak against it too: an interval of no width would claim that the log,
    in which something never happened, shows that it never will.
    """
    if (carried := carried_by(deviations, value)) < limits.rare_reward:
        detail = "rewards are so rare, or so far apart, that the estimate's variance rests on this many units"
        yield Reason("rare-reward", carried, limits.rare_reward, detail)


def support_reasons(behaviour: Floats, target: Floats, limits: Limits) -> Iterator[Reason]:
    """Yield the target's mean probability of actions that the logging policy never takes.

    Args:
        behaviour: (n, k), the logging policy's distributions.
        target: (n, k), the target policy's.
    """
    missing = float((target * (behaviour <= 0)).sum(axis=1).mean()) if len(target) else 0.0
    if missing > limits.unsupported:
        detail = "mean probability of the target policy for actions that the logging policy never takes"
        yield Reason("missing-support", missing, limits.unsupported, detail)


def propensity_reasons(propensity: Floats, recomputed: Floats | None, limits: Limits) -> Iterator[Reason]:
    """Yield what speaks against logged propensities (n,), given those recomputed from policy and context."""
    if broken := int((~((propensity > 0) & (propensity <= 1))).sum()):
        detail = f"{broken} of {len(propensity)} logged propensities are outside (0, 1]"
        yield Reason("propensity-range", broken, 0, detail)
    if recomputed is None or not len(propensity):
        return
    share = float(np.mean(~np.isclose(propensity, recomputed, rtol=1e-9, atol=0)))
    if share > limits.unreproducible:
        detail = "share of logged propensities that the logging policy does not give when asked again"
        yield Reason("unreproducible-propensities", share, limits.unreproducible, detail)


def schema_reasons(trained: Mapping[str, str], logged: Mapping[str, str]) -> Iterator[Reason]:
    """Yield a reason if the log's columns (name → type, in order) are not those of the training."""
    if list(trained.items()) == list(logged.items()):
        return
    missing, unknown = trained.keys() - logged.keys(), logged.keys() - trained.keys()
    changed = {name for name in trained.keys() & logged.keys() if trained[name] != logged[name]}
    parts = {"missing": missing, "unknown": unknown, "of another type": changed}
    told = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in parts.items() if names)
    yield Reason(
        "schema-drift", len(missing | unknown | changed), 0, told or "the columns are in another order"
    )
