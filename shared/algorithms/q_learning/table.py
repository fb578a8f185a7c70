"""The Q-table: a fold over interactions in order of time, which can go on where it stopped.

A user's latest interaction is open: its next state is not known yet. It stays beside the table until the next
one comes, and counts as terminal (next value 0) only in the table that is served. Learning week by week is
therefore the same as learning all weeks at once, to the bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson

from shared.algorithms.q_learning.declaration import Parameters
from shared.core.arrays import Floats

#: State, position of the action, reward.
Step = tuple[str, int, float]
#: Hex digits of a user's digest that stand for the user.
DIGITS = 16
VERSION = 1
MINUTE_MS = 60_000


@dataclass
class QTable:
    """Values and visits of states and actions, and what is still open."""

    actions: Sequence[str]
    parameters: Parameters
    epsilon: float
    values: dict[str, Floats] = field(default_factory=dict)
    """State → (actions,)."""
    visits: dict[str, Floats] = field(default_factory=dict)
    """State → updates of each action, (actions,)."""
    open: dict[str, list[Step]] = field(default_factory=dict)
    """User → the latest interaction, or all of them while there are too few."""
    last: dict[str, int] = field(default_factory=dict)
    """User → time of the open interaction, in order of time; kept where sessions end."""
    counted: set[str] = field(default_factory=set)
    """Users that have had enough interactions."""
    until: tuple[int, str] = (-(2**62), "")
    """Time and id of the latest decision that was learnt."""
    updates: int = 0

    @classmethod
    def new(cls, actions: Sequence[str], parameters: Parameters) -> Self:
        """A table that has learnt nothing."""
        return cls(list(actions), parameters, parameters.epsilon)

    def learn(self, subject: str, step: Step, place: tuple[int, str]) -> None:
        """Take the next interaction in order of time; one at or before `until` was learnt already."""
        if place <= self.until:
            return
        self.until = place
        self._end_sessions(place[0])
        user = sha256(subject.encode()).hexdigest()[:DIGITS]
        steps = self.open.setdefault(user, [])
        steps.append(step)
        if self.parameters.session_minutes is not None:
            self.last.pop(user, None)
            self.last[user] = place[0]
        if user not in self.counted and len(steps) < self.parameters.min_interactions:
            return
        self.counted.add(user)
        while len(steps) > 1:
            self._update(steps.pop(0), steps[0][0])

    def _end_sessions(self, now: int) -> None:
        if self.parameters.session_minutes is None:
            return
        since = now - self.parameters.session_minutes * MINUTE_MS
        while self.last and next(iter(self.last.values())) < since:
            user = next(iter(self.last))
            del self.last[user]
            if user in self.counted:
                self._update(self.open.pop(user)[0], None)

    def served(self) -> "QTable":
        """A copy in which the latest interaction of each user that counts is terminal."""
        copy = QTable(
            self.actions,
            self.parameters,
            self.epsilon,
            {state: values.copy() for state, values in self.values.items()},
            {state: visits.copy() for state, visits in self.visits.items()},
            until=self.until,
            updates=self.updates,
        )
        for user in sorted(self.open):  # an order that saving and loading keeps
            if user in self.counted:
                copy._update(self.open[user][0], None)
        return copy

    def _update(self, step: Step, following: str | None) -> None:
        """Watkins (1989): Q += alpha (r + gamma max Q' - Q)."""
        state, action, reward = step
        values = self._row(self.values, state)
        ahead = 0.0 if following is None else float(self._row(self.values, following).max())
        target = reward + self.parameters.gamma * ahead
        values[action] += self.parameters.alpha * (target - values[action])
        self._row(self.visits, state)[action] += 1
        self.updates += 1
        self.epsilon = max(self.parameters.epsilon_floor, self.epsilon * self.parameters.epsilon_decay)

    def _row(self, table: dict[str, Floats], state: str) -> Floats:
        if state not in table:
            table[state] = np.zeros(len(self.actions))
        return table[state]

    def known(self) -> Floats:
        """The values of all visited pairs, (pairs,)."""
        pairs = [self.values[state][visits > 0] for state, visits in self.visits.items()]
        return np.concatenate(pairs) if pairs else np.zeros(0)

    def save(self, file: Path) -> None:
        """Write as JSON, from which `load` restores it to the bit."""
        file.write_bytes(orjson.dumps(self._document(), option=orjson.OPT_SORT_KEYS))

    def _document(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "actions": list(self.actions),
            "epsilon": self.epsilon,
            "q": {state: dict(self._visited(state)) for state in self.visits},
            "open": {user: [list(step) for step in steps] for user, steps in self.open.items()},
            "last": [list(each) for each in self.last.items()],
            "counted": sorted(self.counted),
            "until": list(self.until),
            "updates": self.updates,
        }

    def _visited(self, state: str) -> Iterator[tuple[str, list[float]]]:
        for name, value, visits in zip(
            self.actions, self.values[state].tolist(), self.visits[state].tolist(), strict=True
        ):
            if visits:
                yield name, [value, visits]

    @classmethod
    def load(cls, file: Path, parameters: Parameters) -> Self:
        """Restore from a verified file. Raises ValueError, KeyError for other content."""
        document = orjson.loads(file.read_bytes())
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']!r}; known is {VERSION}")
        table = cls(document["actions"], parameters, document["epsilon"])
        place = {name: i for i, name in enumerate(table.actions)}
        for state, pairs in document["q"].items():
            for name, (value, visits) in pairs.items():
                table._row(table.values, state)[place[name]] = value
                table._row(table.visits, state)[place[name]] = visits
        table.open = {
            user: [(state, int(action), float(reward)) for state, action, reward in steps]
            for user, steps in document["open"].items()
        }
        table.last = {str(user): int(time) for user, time in document["last"]}
        table.counted = set(document["counted"])
        table.until = (int(document["until"][0]), str(document["until"][1]))
        table.updates = int(document["updates"])
        return table
