"""How often listeners like what they are given."""

import numpy as np

from shared.applications.entertainment.reward import INTERACTIONS
from shared.applications.outcomes import Components, Metric
from shared.core.arrays import Floats
from shared.core.estimators.outcomes import conversion


def _liked(found: Components) -> Floats:
    """As the trainer has it: interactions alone are worth a like or more."""
    return conversion(np.maximum(found["interaction"] - np.nextafter(INTERACTIONS["like"], 0.0), 0.0))


OUTCOMES = (Metric("like_rate", ("interaction",), _liked),)
