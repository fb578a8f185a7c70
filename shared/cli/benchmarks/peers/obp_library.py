"""obp's estimators without the rest of obp.

obp 0.5.7 asks for Python below 3.11 and imports torch for its policies, neither of which its estimators use:
the package is entered without running its `__init__`, and an empty module stands in for torch, which
`obp.utils` names in annotations.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

PACKAGE = "obp"


def estimators() -> dict[str, Any]:
    """Its estimators of one step by our names, those with a parameter tuned by its own method."""
    _enter()
    from obp.ope import estimators as plain
    from obp.ope import estimators_tuning as tuned

    from_one = [1, 2, 5, 10, 20, 50, 100, float("inf")]
    return {
        "ips": plain.InverseProbabilityWeighting(),
        "snips": plain.SelfNormalizedInverseProbabilityWeighting(),
        "dm": plain.DirectMethod(),
        "dr": plain.DoublyRobust(),
        "switch_dr": tuned.SwitchDoublyRobustTuning(lambdas=from_one),
        "dr_os": tuned.DoublyRobustWithShrinkageTuning(lambdas=[1, 10, 100, 1e3, 1e4, float("inf")]),
    }


def regression_model() -> Any:
    """Its cross-fitted reward model's class."""
    _enter()
    from obp.ope.regression_model import RegressionModel

    return RegressionModel


def _enter() -> None:
    if PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("obp is not installed: make bench-install")
    package, torch = types.ModuleType(PACKAGE), types.ModuleType("torch")
    package.__path__ = list(spec.submodule_search_locations)
    torch.Tensor = torch.tensor = type("Tensor", (), {})
    sys.modules |= {PACKAGE: package, "torch": torch}
