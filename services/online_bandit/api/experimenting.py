"""Subjects of a test get their variant by a hash of themselves, whatever the policies would decide."""

from typing import ClassVar

import numpy as np

from services.online_bandit.api.deciding import Choice
from services.online_bandit.api.requests import Asked
from shared.core.experiments.assignment import VERSION, Experiment


class Trial:
    """The policy that decisions of a test are logged under: its distribution are the variants' shares."""

    version: ClassVar[int] = VERSION
    offsets: ClassVar[tuple[int, ...]] = ()

    def __init__(self, experiment: Experiment) -> None:
        self.name, self._experiment = experiment.policy, experiment
        self._names = list(experiment.shares)
        self._shares = list(experiment.shares.values())
        self._row = np.array(self._shares)

    def choice(self, asked: Asked, decision_id: str) -> Choice | None:
        """What the subject gets; None outside of the test, and for a request's own list of actions."""
        if not asked.every or not self._experiment.includes(asked.subject_id):
            return None
        chosen = self._names.index(self._experiment.variant(asked.subject_id))
        every = self._names == asked.names
        return Choice(decision_id, self, chosen, self._names, every, self._row, self._shares)
