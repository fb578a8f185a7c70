"""What a decision knows of a listener: raw, as a vector, and as a state of a table."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from pydantic import Field

from shared.applications.contract import Vector
from shared.applications.entertainment.moods import MOODS, OTHER, known
from shared.applications.files import read_as
from shared.applications.reading import Number, Record, Whole
from shared.applications.settings import Section

TRAITS = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
CONTENT_TYPES = ("music", "video", "game")
TIMES_OF_DAY = {"morning": (6, 12), "afternoon": (12, 18), "evening": (18, 22)}
"""The hours [from, to); any other hour is night."""
NIGHT = "night"
HIGHEST = 100.0
"""Traits run from 0 to this."""
MOST_BINS = 100
WIDTH = len(TRAITS) + len(CONTENT_TYPES) + len(MOODS) + 1 + len(TIMES_OF_DAY) + 1
"""Numbers of a context's vector: 24."""

Trait = Annotated[Number, Field(ge=0, le=HIGHEST)]
Bins = Annotated[int, Field(ge=1, le=MOST_BINS)]


class Context(Record):
    """A request's context."""

    openness: Trait
    conscientiousness: Trait
    extraversion: Trait
    agreeableness: Trait
    neuroticism: Trait
    content_type: Literal["music", "video", "game"]
    mood: Annotated[str, Field(min_length=1, max_length=100)] = "neutral"
    hour: Annotated[Whole, Field(ge=0, le=23)]

    def vector(self) -> Vector:
        """WIDTH float32: traits from -1 to 1, then content, mood and time of day one-hot."""
        traits = [getattr(self, name) * 2 / HIGHEST - 1 for name in TRAITS]
        mood, time = known(self.mood), time_of_day(self.hour)
        hot = [self.content_type == name for name in CONTENT_TYPES]
        hot += [mood == name for name in (*MOODS, OTHER)]
        hot += [time == name for name in (*TIMES_OF_DAY, NIGHT)]
        return np.array([*traits, *hot], np.float32)


class TraitBins(Section):
    """Into how many bins each trait is cut."""

    openness: Bins = 5
    conscientiousness: Bins = 5
    extraversion: Bins = 5
    agreeableness: Bins = 5
    neuroticism: Bins = 5


class StateSettings(Section):
    """How traits are cut into bins; the other parts of a state are what they are."""

    bins: TraitBins

    def bin(self, trait: str, value: float) -> int:
        """min(int(value / width), bins - 1): 0..4 for the five bins of the specification."""
        count: int = getattr(self.bins, trait)
        return min(int(value / (HIGHEST / count)), count - 1)

    def state(self, context: Context) -> str:
        """The state's key: bins of the traits, content, mood and time of day."""
        bins = (str(self.bin(name, getattr(context, name))) for name in TRAITS)
        return "|".join(
            ["-".join(bins), context.content_type, known(context.mood), time_of_day(context.hour)]
        )

    def states(self, contexts: pl.DataFrame) -> list[str]:
        """The same for many: columns named as the attributes of decisions are."""
        columns = [*TRAITS, "content_type", "mood", "hour"]
        return [
            self.state(Context.model_construct(**row))
            for row in contexts.select(columns).iter_rows(named=True)
        ]


def time_of_day(hour: float) -> str:
    """6-12 morning, 12-18 afternoon, 18-22 evening, else night; the hour named last is the next one's."""
    for name, (start, end) in TIMES_OF_DAY.items():
        if start <= hour < end:
            return name
    return NIGHT


def read_state_settings(file: Path = Path(__file__).parent / "state.yaml") -> StateSettings:
    """The settings in a file. Raises `SettingsError`."""
    return read_as(file, StateSettings)
