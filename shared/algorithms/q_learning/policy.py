"""A table of states that decides: the action of the highest score, but for a share of exploration."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import orjson

from shared.algorithms.q_learning.states import state_keys
from shared.applications.entertainment.state import WIDTH, StateSettings
from shared.core.arrays import Floats
from shared.core.policies import distributions

VERSION = 1


#: The bonus of an action that was never taken: above all others, and finite, so that it can be kept as JSON.
UNVISITED = 1e9


def bonus(visits: Floats, c: float) -> Floats:
    """UCB1's c sqrt(ln n / n_a) (Auer et al. 2002) for the visits of each action; UNVISITED for none."""
    total = np.log(max(1.0, float(visits.sum())))
    return np.where(visits > 0, c * np.sqrt(total / np.maximum(visits, 1.0)), UNVISITED)


@dataclass(frozen=True, eq=False)
class TablePolicy:
    """Scores of every action in the states that are known; in others, all actions are alike."""

    actions: Sequence[str]
    epsilon: float
    states: StateSettings
    scores: dict[str, Floats]
    """State → (actions,)."""

    @property
    def width(self) -> int:
        """Numbers in a listener's vector."""
        return WIDTH

    def probabilities(self, contexts: np.ndarray) -> Floats:
        """Return the distribution over the actions, (n, actions), for vectors (n, width)."""
        return self.of_states(state_keys(contexts, self.states))

    def of_states(self, states: Sequence[str]) -> Floats:
        """The same for keys of states."""
        unknown = np.zeros(len(self.actions))
        scores = np.array([self.scores.get(state, unknown) for state in states])
        return distributions.mixed(distributions.best(scores, None), None, self.epsilon)

    def save(self, file: Path) -> None:
        """Write as JSON."""
        document = {
            "version": VERSION,
            "actions": list(self.actions),
            "epsilon": self.epsilon,
            "bins": self.states.bins.model_dump(),
            "scores": {state: scores.tolist() for state, scores in self.scores.items()},
        }
        file.write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Restore from a verified file. Raises ValueError, KeyError for other content."""
        document = orjson.loads(file.read_bytes())
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']!r}; known is {VERSION}")
        scores = {state: np.array(row, np.float64) for state, row in document["scores"].items()}
        actions = document["actions"]
        if any(row.shape != (len(actions),) for row in scores.values()):
            raise ValueError(f"states without {len(actions)} scores")
        settings = StateSettings.model_validate({"bins": document["bins"]})
        return cls(actions, document["epsilon"], settings, scores)
