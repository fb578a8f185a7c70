"""A trained policy as requests see it: checked against its application, trusted no further than needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from services.online_bandit.api.requests import Asked
from shared.algorithms.serving import ContinuousPolicy, Policy
from shared.applications.contract import Application, VectorAction

Row = npt.NDArray[np.float64]

SUM_TOLERANCE = 1e-9
"""How far a distribution's sum may be from one, as in `shared.core.verify`."""


class Unsuitable(ValueError):
    """The policy is whole, but decides something else than its application asks."""


class Distribution(NamedTuple):
    """What may be drawn, and with which probabilities."""

    names: list[str]
    every: bool
    """Whether `names` is the application's full list, which records then leave out."""
    row: Row
    vector: tuple[float, ...] = ()
    """The numbers of a vector action; empty for actions of the list."""


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """The policy of one verified artefact; its name is the one in the deployment."""

    name: str
    algorithm: str
    policy: Policy
    vector_action: VectorAction | None = None
    """What its action is called, for a policy whose action is a vector."""

    version: ClassVar[int] = 1
    offsets: ClassVar[tuple[int, ...]] = ()

    def distributions(self, asked: Sequence[Asked]) -> list[Distribution | None]:
        """Of each request, which all have the same application; None for one that it cannot answer.

        Who gives numbers of its own cannot choose from a list. What a network makes of a context is not known
        before: anything but a distribution above zero, or finite numbers, is no answer. Raises what the
        policy raises.
        """
        contexts = np.stack([one.context for one in asked]).astype(np.float64)
        if isinstance(self.policy, ContinuousPolicy):
            found = self.policy.action(contexts)
            return [
                self._certain(row) if one.every and np.isfinite(row).all() else None
                for one, row in zip(asked, found, strict=True)
            ]
        rows = self.policy.probabilities(contexts)
        return [_offered(one, row) for one, row in zip(asked, rows, strict=True)]

    def _certain(self, numbers: Row) -> Distribution:
        assert self.vector_action is not None
        return Distribution([self.vector_action.name], False, np.ones(1), tuple(numbers.tolist()))


def suited(name: str, algorithm: str, policy: Policy, application: Application) -> TrainedPolicy:
    """The policy, if it decides what the application asks. Raises Unsuitable."""
    if policy.width != application.context_width:
        raise Unsuitable(f"it takes contexts of {policy.width} numbers, not {application.context_width}")
    if isinstance(policy, ContinuousPolicy):
        vector = application.vector_action
        if vector is None or list(policy.names) != list(vector.numbers):
            raise Unsuitable(f"its action are the numbers {', '.join(policy.names)}")
        return TrainedPolicy(name, algorithm, policy, vector)
    if application.action_width:
        raise Unsuitable("it chooses from a list, and requests bring their actions with features")
    if list(policy.actions) != application.actions:
        raise Unsuitable(f"its actions are {', '.join(policy.actions)}, in this order")
    return TrainedPolicy(name, algorithm, policy)


def _offered(asked: Asked, row: Row) -> Distribution | None:
    """The distribution restricted to the actions that were offered."""
    if not asked.every:
        row = row[asked.positions()]
        row = row / row.sum()
    # A NaN fails both comparisons.
    sound = bool(row.min() > 0) and abs(float(row.sum()) - 1) <= SUM_TOLERANCE
    return Distribution(asked.names, asked.every, row) if sound else None
