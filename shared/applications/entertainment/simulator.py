"""Listeners whose traits decide what they like, and whose moods follow from what they get."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.applications.contract import Numbers
from shared.applications.entertainment.listeners import MOOD_LADDER, PERSONAS, START, draw
from shared.applications.entertainment.moods import MOODS
from shared.applications.entertainment.reward import COMPLETED, INTERACTIONS, MOOD
from shared.applications.entertainment.strategies import Strategies, read_strategies
from shared.applications.simulation import Policy, Situation, Told

SESSION = 8
"""Decisions of one listener."""
LISTENERS = 40
"""From whom all that come are drawn; as many of each persona."""
PLEASED = (0.05, 0.15, 0.4, 0.9)
"""Probability of being pleased when 0, 1, 2, 3 of a strategy's parts are right."""
COMPLETION = (10.0, 100.0)
"""Percent listened to when displeased and when pleased."""
HIGHEST_MOOD = len(MOOD_LADDER) - 1


@dataclass(frozen=True)
class Event:
    """A decision of a history, and what was told of it."""

    situation: Situation
    action: str
    told: Told


class EntertainmentSimulator:
    """Extraversion decides on energy, openness on novelty, conscientiousness on diversity.

    A strategy with m of 3 right parts pleases with probability PLEASED[m]: then it is liked, listened to the
    end, and the mood rises a step; if not, it is skipped and the mood falls a step. A situation's truth is
    listener * 3 + mood, and only the mood moves.
    """

    application = "entertainment"

    def __init__(self, strategies: Strategies, seed: int, narrow: bool = True) -> None:
        """`narrow` draws each trait within one bin of five: twelve states of a table, instead of many."""
        self.actions = strategies.names()
        random = np.random.default_rng(seed)
        self.listeners = [draw(PERSONAS[n % len(PERSONAS)], random, narrow) for n in range(LISTENERS)]
        self._moods = np.arange(LISTENERS * len(MOOD_LADDER)) % len(MOOD_LADDER)
        right = [
            [listener.persona.right(action, mood) for action in self.actions]
            for listener in self.listeners
            for mood in range(len(MOOD_LADDER))
        ]
        self._pleased = np.array(PLEASED)[np.array(right)]
        outcomes = np.array([[_reward(mood, pleased) for pleased in (0, 1)] for mood in self._moods.tolist()])
        self._rewards = outcomes[:, :1] + self._pleased * np.diff(outcomes, axis=1)
        first = np.arange(len(self._moods)) - self._moods
        self._lower, self._upper = (first + _next(self._moods, pleased) for pleased in (0, 1))

    def start(self, random: np.random.Generator) -> Situation:
        """Any listener, in the middling mood, under a new name."""
        listener = int(random.integers(LISTENERS))
        return self._situation(f"listener-{random.integers(2**53)}", listener, START, 0)

    def follow(
        self, situation: Situation, action: str, random: np.random.Generator
    ) -> tuple[list[Told], Situation | None]:
        """A like or a skip, and the listener's next situation while the session lasts."""
        listener, mood = divmod(situation.truth, len(MOOD_LADDER))
        pleased = int(random.random() < self._pleased[situation.truth, self.actions.index(action)])
        after = int(_next(mood, pleased))
        told: Told = {
            "type": ("skip", "like")[pleased],
            "attributes": {
                "completion_percentage": COMPLETION[pleased],
                "mood_before": MOOD_LADDER[mood],
                "mood_after": MOOD_LADDER[after],
            },
        }
        step = situation.step + 1
        following = self._situation(situation.subject_id, listener, after, step) if step < SESSION else None
        return [told], following

    def expected_reward(self, situation: Situation, action: str) -> float:
        """Mean reward of a strategy."""
        return float(self._rewards[situation.truth, self.actions.index(action)])

    def mean_reward(self, policy: Policy) -> float:
        """Mean reward over whole sessions, by following the distribution of listeners and moods.

        The policy is asked once for each of them, as at the beginning of a session.
        """
        states = np.where(self._moods == START, 1 / LISTENERS, 0.0)
        chosen = np.array([policy(self._of(state)) for state in range(len(states))])
        rewards, pleased = (chosen * self._rewards).sum(axis=1), (chosen * self._pleased).sum(axis=1)
        total = 0.0
        for _ in range(SESSION):
            total += float(states @ rewards)
            moved = np.bincount(self._lower, states * (1 - pleased), minlength=len(states))
            states = moved + np.bincount(self._upper, states * pleased, minlength=len(states))
        return total / SESSION

    def optimal_mean_reward(self) -> float:
        """By backward induction over the session."""
        value: Numbers = np.zeros(len(self._moods))
        for _ in range(SESSION):
            lower, upper = value[self._lower], value[self._upper]
            ahead = lower[:, None] + self._pleased * (upper - lower)[:, None]
            value = (self._rewards + ahead).max(axis=1)
        return float(value[self._moods == START].mean()) / SESSION

    def histories(self, listeners: int, policy: Policy, random: np.random.Generator) -> Iterator[Event]:
        """Whole sessions, one after the other."""
        for _ in range(listeners):
            situation: Situation | None = self.start(random)
            while situation is not None:
                action = str(random.choice(self.actions, p=np.asarray(policy(situation))))
                [told], following = self.follow(situation, action, random)
                yield Event(situation, action, told)
                situation = following

    def _of(self, state: int) -> Situation:
        return self._situation("listener", *divmod(state, len(MOOD_LADDER)), 0)

    def _situation(self, subject: str, listener: int, mood: int, step: int) -> Situation:
        context = self.listeners[listener].context(mood)
        return Situation(subject, context, listener * len(MOOD_LADDER) + mood, step)


def _next(mood: Any, pleased: int) -> Any:
    return np.clip(mood + (1 if pleased else -1), 0, HIGHEST_MOOD)


def _reward(mood: int, pleased: int) -> float:
    before, after = MOODS[MOOD_LADDER[mood]], MOODS[MOOD_LADDER[_next(mood, pleased)]]
    interaction = INTERACTIONS[("skip", "like")[pleased]]
    changed = float(np.clip((after - before) / 2, -1, 1))
    return interaction + COMPLETION[pleased] / 100 * COMPLETED + MOOD * changed


def simulator(seed: int) -> EntertainmentSimulator:
    """Listeners of the four personas."""
    return EntertainmentSimulator(read_strategies(), seed)
