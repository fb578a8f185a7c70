"""The continuous action: seven weights, raw from 0 to 2, and the distribution that ranks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from shared.applications.contract import FieldError, Numbers
from shared.applications.files import read_as
from shared.applications.settings import Number, Section, Text

NAMES = (
    "W_COLLAB_POS",
    "W_COLLAB_NEG",
    "W_TRAIT",
    "W_BRAND",
    "W_WISHLIST",
    "W_MARKET_CONV",
    "W_MARKET_DEAL",
)
WEIGHTS = "weights"
"""The action of decisions with weights of their own, which are among the decision's attributes."""
HIGHEST = 2.0
"""The raw weight that counts in full."""


def normalised(raw: npt.ArrayLike) -> Numbers:
    """clip(w / 2, 0, 1) over its sum, uniform where all are 0; shape (..., 7) in and out."""
    clipped = np.clip(np.asarray(raw, np.float64) / HIGHEST, 0.0, 1.0)
    total = clipped.sum(axis=-1, keepdims=True)
    weights: Numbers = np.where(total > 0, clipped, 1.0) / np.where(total > 0, total, float(len(NAMES)))
    return weights


def read_weights(given: Any, field: str = "action") -> list[float]:
    """Seven finite numbers, as a list in the order of NAMES or as an object by name. Raises `FieldError`."""
    if isinstance(given, Mapping):
        if unknown := sorted(str(name) for name in given if name not in NAMES):
            raise FieldError(f"{field}.{unknown[0]}", f"unknown weight, known are {', '.join(NAMES)}")
        if missing := [name for name in NAMES if name not in given]:
            raise FieldError(f"{field}.{missing[0]}", "missing")
        return [_weight(given[name], f"{field}.{name}") for name in NAMES]
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != len(NAMES):
        raise FieldError(field, f"must be a list of {len(NAMES)} weights, or an object by name")
    return [_weight(value, f"{field}[{i}]") for i, value in enumerate(given)]


def _weight(value: Any, field: str) -> float:
    if type(value) not in (int, float) or not np.isfinite(float(value)):
        raise FieldError(field, "must be a finite number")
    return float(value)


class Presets(Section):
    """Raw weights by the name of the preset."""

    presets: dict[
        Text,
        Annotated[
            list[Annotated[Number, Field(ge=0, le=HIGHEST)]],
            Field(min_length=len(NAMES), max_length=len(NAMES)),
        ],
    ]


def read_presets(file: Path = Path(__file__).parent / "presets.yaml") -> Presets:
    """The presets in a file. Raises `SettingsError`."""
    return read_as(file, Presets)
