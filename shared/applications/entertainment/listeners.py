"""Simulated listeners: personas, their traits, and which strategy is right for them."""

from dataclasses import dataclass

import numpy as np

MOOD_LADDER = ("sad", "neutral", "happy")
"""The moods that occur, from the worst; listeners start in the middle."""
START = 1
TIRED_ENERGY = "low"
"""Whoever is in the worst mood wants this energy, whatever the traits."""
BINS = {"low": (1.0, 39.0), "medium": (41.0, 59.0), "high": (61.0, 99.0)}
"""Ranges of a trait: within the first two, the middle and the last two of five bins."""
BIN_WIDTH = 18.0
"""A range of this width, from where the others start, lies within one bin."""
NOVELTY = {"low": "familiar", "medium": "mixed", "high": "exploratory"}
DIVERSITY = {"low": "diverse", "medium": "balanced", "high": "focused"}


@dataclass(frozen=True)
class Persona:
    """A kind of listener: levels of three traits, and what and when they usually listen."""

    extraversion: str
    openness: str
    conscientiousness: str
    content_type: str
    hour: int

    def right(self, action: str, mood: int) -> int:
        """How many of a strategy's three parts suit this persona in this mood."""
        energy = TIRED_ENERGY if mood == 0 else self.extraversion
        wanted = (energy, DIVERSITY[self.conscientiousness], NOVELTY[self.openness])
        return sum(part == want for part, want in zip(action.split("_"), wanted, strict=True))


PERSONAS = (
    Persona("low", "low", "high", "music", 9),
    Persona("high", "high", "low", "game", 20),
    Persona("medium", "high", "high", "video", 14),
    Persona("high", "low", "medium", "music", 23),
)


@dataclass(frozen=True)
class Listener:
    """A persona with traits of its own."""

    persona: Persona
    traits: dict[str, float]

    def context(self, mood: int) -> dict[str, float | str]:
        """What a request says in this mood."""
        who = self.persona
        return {
            **self.traits,
            "content_type": who.content_type,
            "hour": who.hour,
            "mood": MOOD_LADDER[mood],
        }


def draw(persona: Persona, random: np.random.Generator, narrow: bool) -> Listener:
    """A listener; `narrow` keeps each trait within one bin, so that a table of states stays small."""
    levels = {
        "openness": persona.openness,
        "conscientiousness": persona.conscientiousness,
        "extraversion": persona.extraversion,
        "agreeableness": "medium",
        "neuroticism": "medium",
    }
    ranges = {name: BINS[level] for name, level in levels.items()}
    if narrow:
        ranges = {name: (low, low + BIN_WIDTH) for name, (low, _) in ranges.items()}
    return Listener(persona, {name: float(random.uniform(*ends)) for name, ends in ranges.items()})
