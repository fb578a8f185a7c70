"""How often widgets are liked, and disliked."""

from shared.applications.outcomes import Components, Metric
from shared.core.arrays import Floats
from shared.core.estimators.outcomes import conversion


def _liked(found: Components) -> Floats:
    return conversion(found["up"])


def _disliked(found: Components) -> Floats:
    return conversion(-found["down"])


OUTCOMES = (
    Metric("like_rate", ("up",), _liked),
    Metric("dislike_rate", ("down",), _disliked),
)
