"""Decisions as I5 looks at them, and what of one is wrong beside what its policies answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shared.applications.contract import Application
from shared.cli.audit.answers import TOLERANCE, Answer
from shared.core.rollout.verify import Placement, mixture

SUM_TOLERANCE = 1e-9
FOREIGN_TOLERANCE = 1e-6
"""What other deciders' rounding is allowed."""


class Row(NamedTuple):
    """What of a decision is looked at."""

    decision_id: str
    subject_id: str
    policy: str
    policy_version: int
    policy_offsets: Sequence[int]
    action: str
    propensity: float
    actions: Sequence[str]
    probabilities: Sequence[float]
    action_features: Sequence[float]
    arm: str | None
    share: float | None
    mixture_propensity: float | None
    decided_at: int
    attributes: Sequence[Mapping[str, Any]] = ()


def placement(row: Row) -> Placement | None:
    """Its place in a rollout; None outside of one."""
    if row.arm is None or row.share is None or row.mixture_propensity is None:
        return None
    return Placement(
        *(row.subject_id, row.policy, row.arm, row.share, row.propensity, row.mixture_propensity),
        row.decided_at,
    )


def numbers_of(application: Application, row: Row) -> tuple[float, ...]:
    """The numbers of a vector action."""
    vector = application.vector_action
    if vector is None or row.action != vector.name:
        return ()
    told = {each["name"]: each["number"] for each in row.attributes if each["number"] is not None}
    return tuple(told.get(name, np.nan) for name in vector.numbers)


def wrong_answer(
    row: Row, names: Sequence[str], vector: Sequence[float], answers: Sequence[Answer]
) -> str | None:
    """Whether its distribution is none that its policy can have given."""
    if any(answer.agrees(names, row.probabilities, vector) for answer in answers):
        return None
    return f"its probabilities are not those of {row.policy} at version {row.policy_version}"


def wrong_mixture(
    row: Row, placed: Placement, vector: Sequence[float], answers: Sequence[Answer]
) -> str | None:
    """Whether its mixture does not come of what the other arm's policy can have answered."""
    due = [mixture(placed, answer.of(row.action, vector)) for answer in answers]
    if any(abs(each - (row.mixture_propensity or 0.0)) <= TOLERANCE for each in due):
        return None
    told = ", ".join(str(each) for each in dict.fromkeys(due))
    return f"mixture_propensity is {row.mixture_propensity}, both arms together give {told}"


def wrong_distribution(row: Row, names: Sequence[str], *, own: bool) -> str | None:
    """What is wrong with it alone. `own`: a policy of this platform made it, which logs every probability."""
    if not 0 < row.propensity <= 1:
        return f"propensity {row.propensity}"
    if not row.probabilities and not own:
        return None
    if len(names) != len(row.probabilities) or row.action not in names:
        numbers = f"{len(row.probabilities)} probabilities for {len(names)} actions"
        return f"{numbers}, of which it took {row.action!r}"
    of_action = row.probabilities[names.index(row.action)]
    if abs(of_action - row.propensity) > (0 if own else FOREIGN_TOLERANCE):
        return f"propensity {row.propensity}, but the action's probability is {of_action}"
    if own and (min(row.probabilities) <= 0 or abs(sum(row.probabilities) - 1) > SUM_TOLERANCE):
        return "its probabilities are not above zero with a sum of one"
    return None
