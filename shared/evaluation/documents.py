"""An evaluation as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from shared.core.estimators.bootstrap import Interval
from shared.core.estimators.evaluation import Evaluation
from shared.core.estimators.measuring import Estimate
from shared.core.estimators.verdict import Judgement


def document(found: Evaluation) -> dict[str, Any]:
    """Return the fixed shape: numbers, the verdict, and why; metrics that were asked for. What is not defined
    is null."""
    told = {"outcomes": {each.guard.name: _told(each) for each in found.told}} if found.told else {}
    return _finite(
        {
            "n": found.rows,
            "effective_sample_size": found.effective_sample_size,
            "max_weight": found.max_weight,
            "baseline": _headline(found.baseline),
            "estimates": {name: _headline(each) for name, each in found.estimates.items()},
            "verdict": str(found.verdict),
            "reasons": [asdict(reason) for reason in found.reasons],
            **told,
        }
    )


def full_document(found: Evaluation) -> dict[str, Any]:
    """Return the fixed shape and what lies behind it: other intervals, and the verdict on each metric."""
    further = {
        "units": found.units,
        "mean_weight": found.mean_weight,
        "decided_by": found.decided_by,
        "intervals": {name: _beside(each) for name, each in found.estimates.items()},
        "metrics": [
            {
                "metric": each.guard.name,
                "baseline": each.baseline,
                "difference": {"value": each.difference, **_ends(each.interval)},
                "verdict": str(each.verdict),
            }
            for each in found.judgements
        ],
    }
    return document(found) | _finite(further)


def _told(each: Judgement) -> dict[str, Any]:
    """A metric under the target, and its difference from the baseline."""
    return {
        "value": each.value,
        **_ends(each.ends),
        "baseline": each.baseline,
        "difference": {"value": each.difference, **_ends(each.interval)},
    }


def _headline(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, **_ends(estimate.interval)}


def _beside(estimate: Estimate) -> dict[str, Any]:
    return {
        "parameter": estimate.parameter,
        "standard_error": estimate.standard_error,
        "confidence_sequence": _ends(estimate.sequence),
        "empirical_bernstein": _ends(estimate.bernstein) if estimate.bernstein else None,
    }


def _ends(interval: Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN and no infinity."""
    return {name: _plain(each) for name, each in document.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _finite(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
