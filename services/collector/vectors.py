"""Actions that are vectors of numbers: held to what their application says of them."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

from shared.applications.contract import FieldError, VectorAction

FIELD = "parameters"
"""Where a decision has them, here as in replies of the decision API."""
ROUNDING = 1e-6
"""How far numbers and their sum may be beyond what is allowed: some producers compute in float32."""


def read_vector(given: Any, action: VectorAction) -> list[float]:
    """The numbers in the action's order, of a list in that order or an object by name. Raises FieldError."""
    names = action.numbers
    if isinstance(given, Mapping):
        if unknown := sorted(given.keys() - set(names)):
            raise FieldError(f"{FIELD}.{unknown[0]}", f"unknown number, known are {', '.join(names)}")
        if missing := [name for name in names if name not in given]:
            raise FieldError(f"{FIELD}.{missing[0]}", "missing")
        found = [_number(given[name], f"{FIELD}.{name}", action) for name in names]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != len(names):
            raise FieldError(FIELD, f"must have {len(names)} numbers, not {len(given)}")
        found = [_number(value, f"{FIELD}[{i}]", action) for i, value in enumerate(given)]
    else:
        raise FieldError(FIELD, f"must be a list of {len(names)} numbers, or an object by name")
    total = sum(found)
    if action.total is not None and abs(total - action.total) > ROUNDING * len(names):
        raise FieldError(FIELD, f"must add up to {action.total:g}, not {total:.9g}")
    return found


def _number(value: Any, field: str, action: VectorAction) -> float:
    if type(value) not in (int, float) or not isfinite(number := _float(value)):
        raise FieldError(field, "must be a finite number")
    if not action.low - ROUNDING <= number <= action.high + ROUNDING:
        raise FieldError(field, f"must lie within {action.low:g} and {action.high:g}, not {number:.9g}")
    return number


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return inf
