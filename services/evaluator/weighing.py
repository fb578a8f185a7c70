"""How much each decision says of a candidate, as decisions flow: one way for each kind of candidate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from services.evaluator.choices import weighed_by
from services.evaluator.handlers import Period
from services.evaluator.logs import usable
from services.evaluator.sieve import Sieve
from services.evaluator.vectors import LOGGED, NO_DENSITY, UNLOGGED, vectors
from shared.algorithms.serving import ContinuousPolicy, DiscretePolicy
from shared.applications.contract import Application
from shared.core.arrays import Floats
from shared.core.estimators.continuous.action_model import Predicted
from shared.core.estimators.continuous.reference import Reference
from shared.core.estimators.limits import Reason

ELSEWHERE = "missing-support"
OTHERS = "what others answered says nothing of its answers, and it is not rolled out"


@dataclass(frozen=True, eq=False)
class Weighed:
    """Decisions that say something of a candidate."""

    frame: pl.DataFrame
    weights: Floats
    """(k, n), k being its weigher's `ways`."""
    left_out: tuple[Reason, ...]
    predicted: Predicted | None = None
    """What a reward model expects, where the weigher is `modelled`."""
    moments: Floats | None = None
    """(2, n), see `shared.core.estimators.weights.expected_moments`."""


@dataclass(frozen=True)
class Traits:
    """What a weigher's statistics are made of."""

    ways: int = 1
    """Ways to weigh, of which the first is judged by."""
    modelled: bool = False
    """Whether a reward model is there to be corrected."""
    attributes: bool = False
    """Whether it asks for the decisions' attributes."""
    rollouts: bool = False
    """Whether it asks when the candidate was rolled out."""
    digest: str = ""
    """Statistics of weighers with another one do not add up."""
    basis: Reason | None = None
    """What its weights rest on; its name is part of estimators' names."""
    without: Reason | None = None
    """What is wrong where all decisions are left out by the cause of this name."""


class Weigher(Protocol):
    """A pure function of the log: a decision's corrections are weighed as it was."""

    @property
    def traits(self) -> Traits:
        """What its statistics are made of."""

    def weigh(self, rows: pl.DataFrame) -> Weighed:
        """Weigh rewards. Raises Unusable."""


class Choosing:
    """A policy that chooses among actions: its probability of the logged one, over the logged propensity."""

    traits = Traits()

    def __init__(self, policy: DiscretePolicy, application: Application) -> None:
        self._policy, self._application = policy, application

    def weigh(self, rows: pl.DataFrame) -> Weighed:
        """Weigh rewards. Raises Unusable."""
        found = usable(rows, self._policy, self._application)
        weights = (found.target / weighed_by(found.frame))[None]
        return Weighed(found.frame, weights, found.left_out, moments=found.moments)


class Giving:
    """A policy that gives vectors: a kernel around its own, over the density that was logged.

    A density that was not logged could only be estimated from decisions of the past, and so from policies
    that may decide no longer.
    """

    def __init__(self, policy: ContinuousPolicy, application: Application, reference: Reference) -> None:
        self._policy, self._application, self._reference = policy, application, reference
        self.traits = Traits(
            ways=len(reference.bandwidths),
            modelled=True,
            attributes=True,
            digest=reference.digest,
            basis=Reason(LOGGED, reference.bandwidth, None, str(reference)),
            without=Reason(NO_DENSITY, None, None, UNLOGGED),
        )

    def weigh(self, rows: pl.DataFrame) -> Weighed:
        """Weigh rewards. Raises Unusable."""
        found = vectors(rows, self._policy, self._application, logged=True)
        weights, predicted = self._reference.weights(found.log), self._reference.predicted(found.log)
        return Weighed(found.frame, weights, found.left_out, predicted)


class Answering:
    """A model that nobody here can ask: what it would have earned is known of the decisions that it made.

    Within its rollout those are drawn with its share, so decisions of both arms are weighed by the arm alone.
    Outside of it, nothing is.
    """

    traits = Traits(rollouts=True, without=Reason(ELSEWHERE, None, None, OTHERS))

    def __init__(self, candidate_id: str, periods: Callable[[], Sequence[Period]]) -> None:
        """`periods` are when it is, or was, the canary."""
        self._candidate, self._periods = candidate_id, periods

    def weigh(self, rows: pl.DataFrame) -> Weighed:
        """Weigh rewards."""
        sieve = Sieve(rows)
        time, within = pl.col("decision_time"), pl.lit(False)
        for since, until in self._periods():
            within |= (time >= since) & (time < until)
        within &= pl.col("arm").is_not_null() & (pl.col("share") > 0)
        kept = sieve.frame.select(within.fill_null(False).alias("within")).to_series()
        sieve.keep(ELSEWHERE, kept.to_numpy(), "they are not of its rollout")
        own = (pl.col("arm") == "canary") & (pl.col("policy") == self._candidate)
        weight = sieve.frame.select(pl.when(own).then(1 / pl.col("share")).otherwise(0.0).alias("weight"))
        return Weighed(sieve.frame, weight.to_series().to_numpy()[None], sieve.reasons)
