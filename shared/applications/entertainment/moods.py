"""How good a mood is: for the reward, and as part of the state."""

from collections.abc import Mapping

MOODS: Mapping[str, float] = {
    "very_negative": -2,
    "negative": -1,
    "neutral": 0,
    "positive": 1,
    "very_positive": 2,
    "happy": 2,
    "sad": -2,
    "anxious": -1,
    "calm": 1,
    "energetic": 1,
    "relaxed": 1,
}
"""Any other mood counts 0."""
OTHER = "other"
"""The state's name for any other mood."""


def known(mood: str) -> str:
    """The mood, or `other` for one without a value of its own."""
    return mood if mood in MOODS else OTHER
