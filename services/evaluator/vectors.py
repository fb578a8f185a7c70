"""Decisions whose action is a vector of numbers, beside the vectors that a candidate would have given."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from services.evaluator.asking import Unusable
from services.evaluator.logs import subjects
from services.evaluator.sieve import Sieve
from shared.algorithms.serving import ContinuousPolicy
from shared.applications.contract import DENSITY, Application
from shared.core.arrays import Floats
from shared.core.estimators.continuous.weighing import VectorLog
from shared.core.estimators.limits import Reason
from shared.wire.columns import float_matrix

NO_DENSITY = "no-density"
LOGGED, ESTIMATED = "logged-density", "estimated-density"
"""What estimators rest on: part of their names, and a reason that says how."""
WITHOUT = "they chose from a list, or gave a vector for certain: neither has a density"
UNLOGGED = "they logged no density of a vector"


@dataclass(frozen=True, eq=False)
class Vectors:
    """Decisions that can be weighed."""

    frame: pl.DataFrame
    log: VectorLog
    left_out: tuple[Reason, ...]


def vectors(
    frame: pl.DataFrame, policy: ContinuousPolicy, application: Application, logged: bool = False
) -> Vectors:
    """Leave out what cannot be weighed, by cause; with `logged` also what logged no density. `frame` has the
    decisions' attributes. Raises Unusable.

    A vector that was given for certain has no density, and neither has one of the list: such decisions say
    nothing of vectors between them, whatever their propensities.
    """
    width, action = policy.width, application.vector_action
    assert action is not None
    sieve = Sieve(frame, width)
    stated = _number(sieve.frame, DENSITY).is_not_null()
    certain = (sieve.frame["probabilities"].list.len() > 0) & ~stated
    given = (sieve.frame["action"] == action.name) & (stated if logged else ~certain)
    sieve.keep(NO_DENSITY, given.to_numpy(), UNLOGGED if logged else WITHOUT)
    numbers = sieve.frame.select(_number(sieve.frame, name).alias(name) for name in action.numbers)
    sieve.keep(
        "broken-action",
        np.asarray(_finite(numbers).all(axis=1)),
        f"not all of {', '.join(action.numbers)} are finite numbers",
    )
    density = _number(sieve.frame, DENSITY)
    sound = density.is_null() | (density.is_finite() & (density > 0))
    sieve.keep("broken-density", sound.fill_null(False).to_numpy(), "a density must be finite and above zero")
    contexts = float_matrix(sieve.frame["context"], width).astype(np.float64)
    log = VectorLog(
        contexts=contexts,
        taken=np.stack([_number(sieve.frame, name).to_numpy() for name in action.numbers], axis=1),
        wanted=_asked(policy, contexts),
        reward=sieve.frame["reward"].to_numpy(),
        density=_number(sieve.frame, DENSITY).fill_null(float("nan")).to_numpy(),
        cluster=subjects(sieve.frame),
    )
    return Vectors(sieve.frame, log, sieve.reasons)


def _asked(policy: ContinuousPolicy, contexts: Floats) -> Floats:
    """The policy's vectors, (n, m). Raises Unusable for what are none."""
    shape = (len(contexts), len(policy.names))
    if not len(contexts):
        return np.zeros(shape)
    try:
        found = np.asarray(policy.action(contexts), np.float64)
    except Exception as error:  # as in `asking`
        raise Unusable("policy", f"{type(error).__name__}: {error}") from error
    if found.shape != shape or not np.isfinite(found).all():
        raise Unusable("policy", f"actions of shape {found.shape}; finite ones of shape {shape} are needed")
    return found


def _number(frame: pl.DataFrame, name: str) -> pl.Series:
    """An attribute that is a number, null where a row has none of that name."""
    of_name = pl.element().filter(pl.element().struct.field("name") == name)
    column = pl.col("attributes").list.eval(of_name.struct.field("number")).list.last().cast(pl.Float64)
    return frame.select(column.alias(name)).to_series()


def _finite(numbers: pl.DataFrame) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(numbers.fill_null(float("nan")).to_numpy()))
