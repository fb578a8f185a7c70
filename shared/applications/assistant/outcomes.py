"""How often answers are found good, and how often somebody writes a better one."""

import numpy as np

from shared.applications.outcomes import Components, Metric
from shared.core.arrays import Floats
from shared.core.estimators.outcomes import conversion


def _positive(found: Components) -> Floats:
    """A thumb up, or a rating above the middle."""
    return conversion(np.maximum(found["thumbs"] + found["rating"], 0.0))


def _corrected(found: Components) -> Floats:
    return conversion(-found["correction"])


OUTCOMES = (
    Metric("positive_rate", ("thumbs", "rating"), _positive),
    Metric("correction_rate", ("correction",), _corrected),
)
