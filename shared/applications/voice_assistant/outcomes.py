"""How often calls are resolved, and handed over to people."""

from shared.applications.outcomes import Components, Metric
from shared.core.arrays import Floats
from shared.core.estimators.outcomes import conversion


def _resolved(found: Components) -> Floats:
    return conversion(found["resolution"])


def _handed_over(found: Components) -> Floats:
    return conversion(-found["handover"])


OUTCOMES = (
    Metric("resolution_rate", ("resolution",), _resolved),
    Metric("handover_rate", ("handover",), _handed_over),
)
