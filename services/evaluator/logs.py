"""Decisions and a policy to what estimators take, and what had to be left out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from services.evaluator.asking import ask
from services.evaluator.choices import Choices, choices, weighed_by
from services.evaluator.sieve import Sieve
from shared.algorithms.serving import DiscretePolicy
from shared.applications.contract import Application
from shared.core.arrays import Floats
from shared.core.estimators.limits import Limits, Reason
from shared.core.estimators.log import Logged
from shared.core.estimators.reward_model import RewardModel, scaled
from shared.core.estimators.weights import expected_moments
from shared.core.features.scaling import Scaling
from shared.wire.columns import float_matrix

MODELLED_CELLS = 50_000_000
"""Most numbers in the matrices of a reward model (decisions by actions and by features): 400 MB. Beyond, the
estimators that need none are used."""
MODELLED_SIZE = 2_000
"""Most features for which a ridge regression for each action is solved."""
SUBJECT_SEED = 0


@dataclass(frozen=True, eq=False)
class Usable:
    """Decisions that can be weighed, beside the policy's probability of each logged action."""

    frame: pl.DataFrame
    choices: Choices
    contexts: NDArray[np.float32]
    """(n, width)."""
    probabilities: Floats
    """(n, k) the target policy's, over `choices.names`."""
    left_out: tuple[Reason, ...]

    @property
    def target(self) -> Floats:
        """(n,) the target's probability of the logged action."""
        return np.asarray(self.probabilities[np.arange(len(self.frame)), self.choices.chosen])

    @property
    def moments(self) -> Floats:
        """(2, n) what was to be expected of weights; NaN where the logged distribution is not known."""
        return expected_moments(self.choices.logged, self.probabilities)


def usable(
    frame: pl.DataFrame, policy: DiscretePolicy, application: Application, limits: Limits | None = None
) -> Usable:
    """Leave out what cannot be weighed, by cause: contexts of other features, rewards and propensities that
    are none or not what was logged, requests without an action that the policy knows.

    With `limits`, of a policy with too many such propensities nothing is believed. Raises Unusable.
    """
    sieve = Sieve(frame, policy.width)
    found = choices(sieve.frame, policy.actions, application.actions)
    distrusted = [] if limits is None else _distrusted(sieve.frame, found.sound, limits)
    sieve.keep(
        "unreproducible-propensities",
        np.asarray(found.sound & ~sieve.frame["policy"].is_in(distrusted).to_numpy()),
        f"propensities of {', '.join(distrusted)} are not in (0, 1], or not what it logged",
    )
    if sieve.frame.height < len(found.chosen):
        found = choices(sieve.frame, policy.actions, application.actions)
    contexts = float_matrix(sieve.frame["context"], policy.width)
    own = ask(policy, contexts)
    spread = found.under(policy.actions, own)
    able = np.asarray(~np.isnan(spread).any(axis=1))
    sieve.keep("unknown-actions", able, "the policy knows none of the actions that were offered")
    if not able.all():
        found = choices(sieve.frame, policy.actions, application.actions)
        contexts, spread = contexts[able], found.under(policy.actions, own[able])
    return Usable(sieve.frame, found, contexts, spread, sieve.reasons)


def log_of(found: Usable, metrics: Sequence[str]) -> Logged:
    """The log, with the predictions of a cross-fitted reward model where that is not too large.

    Raises ValueError naming a metric that a decision lacks.
    """
    frame = found.frame
    reward, propensity = frame["reward"].to_numpy(), weighed_by(frame)
    cluster = subjects(frame)
    log = Logged(
        reward=reward,
        propensity=propensity,
        target_propensity=np.minimum(found.target, 1.0),
        cluster=cluster,
        metrics=components(frame, metrics),
        moments=found.moments,
    )
    n, k = found.probabilities.shape
    size = found.contexts.shape[1] + 1
    if not n or n * (k + size) > MODELLED_CELLS or size > MODELLED_SIZE:
        return log
    standard = Scaling.fit(found.contexts).apply(found.contexts)
    predictions = RewardModel().predict(
        standard, found.choices.chosen, reward, propensity, found.probabilities, cluster
    )
    predictions = scaled(predictions, log.weight, reward)
    return replace(log, q_logged=predictions.q_logged, q_target=predictions.q_target)


def subjects(frame: pl.DataFrame) -> NDArray[np.uint64]:
    """(n,) hash of each row's subject: rows of one subject depend on one another."""
    return np.asarray(frame["subject_id"].hash(SUBJECT_SEED).to_numpy(), np.uint64)


def components(frame: pl.DataFrame, metrics: Sequence[str]) -> Mapping[str, Floats]:
    """Named components of rewards, each (n,); NaN where a row has none of that name."""
    return dict(_components(frame, metrics))


def _components(frame: pl.DataFrame, metrics: Sequence[str]) -> Iterator[tuple[str, Floats]]:
    for name in metrics:
        if name == "reward":
            yield name, frame["reward"].to_numpy()
            continue
        of_name = pl.element().filter(pl.element().struct.field("name") == name)
        column = frame.select(
            pl.col("components").list.eval(of_name.struct.field("value")).list.first().cast(pl.Float64)
        )
        yield name, column.to_series().fill_null(float("nan")).to_numpy()


def _distrusted(frame: pl.DataFrame, sound: NDArray[np.bool_], limits: Limits) -> list[str]:
    """Policies of which too large a share of propensities is broken: then none of theirs are believed."""
    share = (
        frame.select(pl.col("policy"), pl.Series("broken", ~sound))
        .group_by("policy")
        .agg(pl.col("broken").mean())
    )
    return sorted(share.filter(pl.col("broken") > limits.unreproducible)["policy"].to_list())
