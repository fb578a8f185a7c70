"""What a policy would have answered: the distributions that a logged decision may have been drawn from.

Code of its own, over the policies' mathematics: the decision API is not asked what it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.algorithms.serving import ContinuousPolicy, Policy
from shared.applications.contract import Application
from shared.core.arrays import Floats
from shared.core.policies.model import Model

TOLERANCE = 1e-6
"""Between probabilities computed on one machine and on another: networks round as their libraries like."""


@dataclass(frozen=True)
class Asked:
    """What is logged of a request."""

    context: NDArray[np.float32]
    names: Sequence[str]
    """The actions that were drawn from."""
    action_features: Sequence[float]


@dataclass(frozen=True)
class Answer:
    """One distribution: probability by action, or one action of many numbers."""

    probabilities: Mapping[str, float]
    vector: tuple[float, ...] = ()

    def agrees(self, names: Sequence[str], probabilities: Sequence[float], vector: Sequence[float]) -> bool:
        """Whether this is what is logged."""
        if self.vector:
            return len(vector) == len(self.vector) and bool(
                np.allclose(vector, self.vector, rtol=TOLERANCE, atol=TOLERANCE)
            )
        return self.probabilities.keys() == set(names) and all(
            abs(self.probabilities[name] - probability) <= TOLERANCE
            for name, probability in zip(names, probabilities, strict=True)
        )

    def of(self, action: str, vector: Sequence[float]) -> float:
        """The probability of a logged action."""
        if self.vector:
            return float(self.agrees((), (), vector))
        return 0.0 if vector else self.probabilities.get(action, 0.0)


def trained_answers(policy: Policy, asked: Asked, row: Floats) -> Iterator[Answer]:
    """Of a trained policy, whose distribution (or numbers) for the context is `row`.

    The request may have named the actions that are logged, or the application's guard may have.
    """
    if isinstance(policy, ContinuousPolicy):
        yield Answer({}, tuple(float(each) for each in row))
        return
    every = dict(zip(policy.actions, map(float, row), strict=True))
    yield Answer(every)
    if every.keys() > set(asked.names):
        total = sum(every[name] for name in asked.names)
        yield Answer({name: every[name] / total for name in asked.names})


def online_answers(model: Model, application: Application, asked: Asked) -> Iterator[Answer]:
    """Of the online policy, as `model` has it: with the application's guard, if it has one, and without."""
    if model.action_width:
        features = np.array(asked.action_features, np.float32).reshape(len(asked.names), model.action_width)
        row = model.probabilities_dynamic(asked.context, features)
        yield Answer(dict(zip(asked.names, row.tolist(), strict=True)))
        return
    contexts, every = asked.context[None], application.actions
    full = model.probabilities(contexts)[0]
    if application.guard is not None:
        shares = application.guard.shares(model.count, _means(model), full)
        yield Answer({name: share for name, share in zip(every, shares.tolist(), strict=True) if share})
    yield Answer(dict(zip(every, full.tolist(), strict=True)))
    if set(every) > set(asked.names):
        mask = np.array([name in asked.names for name in every])
        row = model.probabilities(contexts, mask)[0]
        yield Answer({name: p for name, p, on in zip(every, row.tolist(), mask, strict=True) if on})


def _means(model: Model) -> Floats:
    """Mean reward of each action, NaN without: the constant feature's moment is the sum of rewards."""
    constant = 0 if model.coefficients.shape[1] == 1 else model.width + model.action_width
    with np.errstate(invalid="ignore", divide="ignore"):
        means = model.signature.moment[:, constant] / model.count
    return np.where(model.count > 0, means, np.nan)
