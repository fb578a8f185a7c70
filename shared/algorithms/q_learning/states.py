"""From the vector of a listener back to the key of the state."""

from itertools import pairwise

import numpy as np

from shared.applications.entertainment.moods import MOODS, OTHER
from shared.applications.entertainment.state import (
    CONTENT_TYPES,
    HIGHEST,
    NIGHT,
    TIMES_OF_DAY,
    TRAITS,
    WIDTH,
    StateSettings,
)

_MOODS = (*MOODS, OTHER)
_TIMES = (*TIMES_OF_DAY, NIGHT)
#: Vectors are float32: a trait that stands on the border of two bins comes back this many decimals exact.
_DECIMALS = 4


def state_keys(contexts: np.ndarray, settings: StateSettings) -> list[str]:
    """Keys, as `StateSettings.state` makes them, of vectors (n, WIDTH). Raises ValueError for others."""
    if contexts.ndim != 2 or contexts.shape[1] != WIDTH:
        raise ValueError(f"contexts of shape {contexts.shape}; wanted (n, {WIDTH})")
    traits = np.round((contexts[:, : len(TRAITS)].astype(np.float64) + 1) * HIGHEST / 2, _DECIMALS)
    ends = np.cumsum([len(TRAITS), len(CONTENT_TYPES), len(_MOODS), len(_TIMES)])
    hot = [contexts[:, start:end].argmax(axis=1) for start, end in pairwise(ends)]
    return [
        "|".join(
            [
                "-".join(str(settings.bin(name, value)) for name, value in zip(TRAITS, row, strict=True)),
                CONTENT_TYPES[content],
                _MOODS[mood],
                _TIMES[time],
            ]
        )
        for row, content, mood, time in zip(traits.tolist(), *hot, strict=True)
    ]
