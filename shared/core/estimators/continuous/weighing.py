"""Logged vectors and the vectors that a target policy would have given: to weights that estimators take.

Where actions are vectors of numbers, a policy that gives one vector never gives a logged one exactly. Its
place is taken by a normal kernel around its vector (Kallus and Zhou 2018, section 3), in coordinates in which
logged vectors are uncorrelated and of variance one; a weight is the kernel over the density with which the
vector was logged. Wide kernels count more decisions, and blur the policy: `smoothing` makes up for that to
first order, and says when it does not do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared.core.arrays import Bools, Floats
from shared.core.estimators.continuous.action_model import Predicted, predict
from shared.core.estimators.continuous.behaviour import Behaviour, Form, chosen_form
from shared.core.estimators.continuous.coordinates import Coordinates
from shared.core.estimators.continuous.smoothing import WIDENED
from shared.core.estimators.hashing import Hashes, mix
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.log import Logged
from shared.core.features.scaling import Scaling

FOLDS = 5
FARTHEST = 300.0
"""Largest logarithm of a weight: its square still is a number, and no evaluation with it is believed."""
RARE = 1e-3
"""Share of logged vectors whose density is below that from which on a target's vector has support."""


@dataclass(frozen=True, eq=False)
class VectorLog:
    """n decisions whose action is a vector of m numbers."""

    contexts: Floats
    """(n, w), raw; w may be 0."""
    taken: Floats
    """(n, m), logged."""
    wanted: Floats
    """(n, m), what the target policy would have given."""
    reward: Floats
    density: Floats | None = None
    """(n,) density with which the logging policy gave the logged vector, over its numbers (or the first d of
    them, where those determine the others), NaN where it was not logged. None: nowhere."""
    cluster: Hashes | None = None
    metrics: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reward)


@dataclass(frozen=True)
class Density:
    """What the weights of a log of vectors rest on."""

    logged: int
    """Decisions whose density was logged."""
    estimated: int
    """Those whose density was estimated from the log."""
    bandwidth: float
    """Standard deviation of the kernel, in those of logged vectors."""
    dimensions: int
    form: Form | None
    """Of the estimate."""

    def __str__(self) -> str:
        kernel = (
            f"a kernel of {self.bandwidth:.3g} standard deviations of the logged vectors, in "
            f"{self.dimensions} dimensions, stands for the policy's vector"
        )
        if self.form is None:
            return f"densities are those logged; {kernel}"
        given = "given the context" if self.form.conditional else "whatever the context"
        what = f"{self.form.components} normal distributions" if self.form.components > 1 else "a normal one"
        return (
            f"of {self.estimated} of {self.estimated + self.logged} decisions no density was logged: it is "
            f"an estimate ({what} {given}, fitted without the decisions themselves); {kernel}"
        )


def default_bandwidth(count: int, dimensions: int) -> float:
    """Return (4 / (d + 2))^(1 / 4) count^(-1 / (d + 2)) for d dimensions, in deviations of logged vectors.

    Narrower than the rate of least squared error, count^(-1 / (d + 4)), at which bias and standard error stay
    alike and intervals miss: here the bias, of order d h^2, falls faster than the standard error, of order
    (count h^d)^(-1 / 2), which falls too. The first factor holds down what adds up over many dimensions.
    `streamwheel benchmark vectors` shows the coverage.
    """
    return float((4 / (dimensions + 2)) ** 0.25 * count ** (-1 / (dimensions + 2)))


def log_weights(taken: Floats, wanted: Floats, outside: Bools, log_density: Floats, width: float) -> Floats:
    """Return the logarithms of weights, (n,): a normal kernel of standard deviation `width` around vectors
    wanted (n, d), at vectors taken (n, d), over the density that these were logged with.

    All are in coordinates of variance one; what lies `outside` those has no weight.
    """
    apart = ((taken - wanted) ** 2).sum(axis=1) / width**2
    kernel = -0.5 * apart - taken.shape[1] * (np.log(width) + 0.5 * np.log(2 * np.pi))
    return np.minimum(np.where(outside, -np.inf, kernel) - log_density, FARTHEST)


class Weighing:
    """A log of vectors in coordinates, with the densities under which they were logged.

    Raises ValueError if it has fewer than `FOLDS` decisions, or all vectors are alike, or logged densities
    are over numbers that do not determine the others.
    """

    def __init__(self, log: VectorLog, *, bandwidth: float | None = None, seed: int = 0) -> None:
        if len(log) < FOLDS:
            raise ValueError(f"{len(log)} decisions; at least {FOLDS} are needed to hold some out")
        self._log, self._seed = log, seed
        self.coordinates = Coordinates.fit(log.taken)
        self.taken, self.wanted = self.coordinates(log.taken), self.coordinates(log.wanted)
        self.contexts = Scaling.fit(log.contexts).apply(log.contexts)
        keys = np.arange(len(log), dtype=np.uint64) if log.cluster is None else log.cluster
        self.fold: NDArray[np.int64] = (mix(keys, seed) % np.uint64(FOLDS)).astype(np.int64)
        self._outside = self.coordinates.outside(log.wanted)
        self._form: Form | None = None
        self.log_density, self._support = self._densities()
        size = self.coordinates.size
        self.bandwidth = default_bandwidth(len(log), size) if bandwidth is None else bandwidth

    @property
    def density(self) -> Density:
        """What the weights rest on."""
        absent = int(self._absent.sum())
        return Density(len(self._log) - absent, absent, self.bandwidth, self.coordinates.size, self._form)

    def weighed(self, widened: float = 1.0) -> Logged:
        """The log with weights, a reward model's predictions, and what corrects the bias of the kernel, which
        is `widened` by a factor."""
        log, predicted = self._log, self._predicted
        ratio, wider = (self._log_weights(widened * factor) for factor in (1.0, WIDENED))
        # Only the ratio of both densities counts: the larger one is called 1, so that both are shares.
        propensity, target = np.exp(-np.maximum(ratio, 0.0)), np.exp(np.minimum(ratio, 0.0))
        return Logged(
            reward=log.reward,
            propensity=propensity,
            target_propensity=target,
            q_logged=predicted.logged,
            q_target=predicted.target,
            correction=(np.exp(ratio) - np.exp(wider)) / (WIDENED - 1) * (log.reward - predicted.logged),
            cluster=log.cluster,
            metrics=log.metrics,
        )

    def _log_weights(self, widened: float) -> Floats:
        width = self.bandwidth * widened
        return log_weights(self.taken, self.wanted, self._outside, self.log_density, width)

    def support_reasons(self, limits: Limits) -> Iterator[Reason]:
        """Yield the share of decisions in which the target's vector is where the log has next to none."""
        share = float(np.mean(self._outside | ~self._support))
        if share > limits.unsupported:
            detail = (
                "share of decisions for which the policy's vector lies where the log has next to none: where "
                f"the density is below that of all but one in {1 / RARE:,.0f} logged ones"
            )
            yield Reason("missing-support", share, limits.unsupported, detail)
        repeated = 1 - len(np.unique(self._log.taken, axis=0)) / len(self._log)
        if repeated > limits.repeated_vectors:
            detail = "share of decisions whose vector was given before: points have no density between them"
            yield Reason("repeated-vectors", repeated, limits.repeated_vectors, detail)

    @cached_property
    def _predicted(self) -> Predicted:
        return predict(self.contexts, self.taken, self.wanted, self._log.reward, self.fold)

    @cached_property
    def _absent(self) -> NDArray[np.bool_]:
        if self._log.density is None:
            return np.ones(len(self._log), bool)
        return np.asarray(np.isnan(self._log.density))

    def _densities(self) -> tuple[Floats, NDArray[np.bool_]]:
        """(n,) log densities of the logged vectors, and whether the target's have support."""
        absent, support = self._absent, np.ones(len(self._log), bool)
        found = np.zeros(len(self._log))
        if not absent.all():
            assert self._log.density is not None
            found[~absent] = np.log(self._log.density[~absent]) + self.coordinates.log_unit()
        if (count := int(absent.sum())) >= FOLDS:
            found[absent], there = self._estimated(absent)
            support[absent] = there >= np.quantile(found[absent], RARE)
        elif count:
            raise ValueError(f"{count} decisions without a density; with so few none can be estimated")
        return found, support

    def _estimated(self, rows: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        contexts, taken, wanted = self.contexts[rows], self.taken[rows], self.wanted[rows]
        # Subjects may all lie in few folds: rows of one are dealt as they come where a fold would be empty.
        fold = self.fold[rows]
        if len(np.unique(fold)) < FOLDS:
            fold = np.arange(len(fold)) % FOLDS
        self._form = chosen_form(contexts, taken, fold, self._seed)
        logged, target = np.empty(len(taken)), np.empty(len(taken))
        for held in range(FOLDS):
            rest, own = fold != held, fold == held
            fitted = Behaviour.fit(contexts[rest], taken[rest], self._form, self._seed)
            logged[own] = fitted.log_density(contexts[own], taken[own])
            target[own] = fitted.log_density(contexts[own], wanted[own])
        return logged, target
