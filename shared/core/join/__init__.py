"""The keyed, windowed join of decisions and interactions: pure, vectorised, a function of the log alone."""

from shared.core.join.decisions import Emitted
from shared.core.join.facts import (
    Decisions,
    Emission,
    Evaluate,
    Heard,
    Interactions,
    Output,
    Refusal,
    Window,
    concat,
)
from shared.core.join.join import Join, Watermark

__all__ = [
    "Decisions",
    "Emission",
    "Emitted",
    "Evaluate",
    "Heard",
    "Interactions",
    "Join",
    "Output",
    "Refusal",
    "Watermark",
    "Window",
    "concat",
]
