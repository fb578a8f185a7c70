"""Requests and a served policy to choices: exact probabilities, and the draw that belongs to the id."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.online_bandit.api.requests import Asked
from services.online_bandit.api.served import ServedPolicy
from shared.core.draw import draw, uniform

Row = npt.NDArray[np.float64]


class Choice(NamedTuple):
    """What was decided, and with which probabilities."""

    decision_id: str
    chosen: int
    """Index into the request's names."""
    row: Row
    probabilities: list[float]
    """`row` as Python numbers."""

    @property
    def propensity(self) -> float:
        """The chosen action's probability."""
        return self.probabilities[self.chosen]


def decide(policy: ServedPolicy, asked: Asked, decision_id: str) -> Choice:
    """The choice for one request."""
    return _drawn(policy, decision_id, _row(policy, asked))


def decide_many(policy: ServedPolicy, asked: Sequence[Asked], ids: Sequence[str]) -> list[Choice]:
    """The choices for requests of one application, with one pass through the model where they allow it."""
    if policy.model.action_width:
        return [decide(policy, one, identifier) for one, identifier in zip(asked, ids, strict=True)]
    contexts = np.stack([one.context for one in asked])
    eligible = None if all(one.every for one in asked) else np.stack([_mask(one) for one in asked])
    rows = policy.model.probabilities(contexts, eligible)
    return [
        _drawn(policy, identifier, row if one.every else row[_positions(one)])
        for one, identifier, row in zip(asked, ids, rows, strict=True)
    ]


def _row(policy: ServedPolicy, asked: Asked) -> Row:
    model = policy.model
    if model.action_width:
        return model.probabilities_dynamic(asked.context, asked.action_features)
    row: Row = model.probabilities(asked.context[None], None if asked.every else _mask(asked))[0]
    return row if asked.every else row[_positions(asked)]


def _drawn(policy: ServedPolicy, decision_id: str, row: Row) -> Choice:
    probabilities = row.tolist()
    chosen = draw(probabilities, uniform(decision_id, policy.name, policy.version))
    return Choice(decision_id, chosen, row, probabilities)


def _positions(asked: Asked) -> list[int]:
    order = {name: position for position, name in enumerate(asked.application.actions)}
    return [order[name] for name in asked.names]


def _mask(asked: Asked) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(asked.application.actions), bool)
    mask[_positions(asked)] = True
    return mask
