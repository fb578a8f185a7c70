"""Named values of a request to vectors."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from shared.applications.contract import FieldError, Numbers, Vector
from shared.applications.settings import CategoricalFeature, NumericFeature

#: Vectors are float32: a number beyond this would become an infinity.
_LARGEST = float(np.finfo(np.float32).max)
_NUMBERS = frozenset({int, float})


class Features:
    """An encoder of mappings with the given features; `allowed` keys are let through unread."""

    def __init__(
        self, features: Sequence[NumericFeature | CategoricalFeature], allowed: Sequence[str] = ()
    ) -> None:
        self._features = tuple(features)
        self._names = {feature.name for feature in features}
        self._allowed = self._names.union(allowed)
        numeric = [feature for feature in features if isinstance(feature, NumericFeature)]
        self._plain = len(numeric) == len(features) and len(numeric) > 1
        self._get = itemgetter(*(feature.name for feature in numeric)) if self._plain else None
        self._mean = np.array([feature.mean for feature in numeric])
        self._scale = np.array([feature.scale for feature in numeric])
        self.width = sum(
            len(feature.values) if isinstance(feature, CategoricalFeature) else 1 for feature in features
        )

    def encode(self, given: Mapping[str, Any], path: str) -> Vector:
        """A vector of `width` float32. Raises `FieldError` naming `<path>.<feature>`."""
        if self._get is not None and given.keys() == self._names:
            raw = self._get(given)
            if _NUMBERS.issuperset(map(type, raw)):
                try:
                    vector: Numbers = (np.array(raw, np.float64) - self._mean) / self._scale
                except OverflowError:
                    vector = np.array([np.inf])
                if float(np.abs(vector).max()) <= _LARGEST:
                    return vector.astype(np.float32)
        return self._encode_one_by_one(given, path)

    def _encode_one_by_one(self, given: Mapping[str, Any], path: str) -> Vector:
        if unknown := sorted(str(name) for name in given if name not in self._allowed):
            raise FieldError(f"{path}.{unknown[0]}", "unknown feature" + self._hint())
        vector = np.zeros(self.width, np.float32)
        at = 0
        for feature in self._features:
            value = given.get(feature.name)
            if value is None:
                value = feature.default
            if value is None:
                raise FieldError(f"{path}.{feature.name}", "missing")
            if isinstance(feature, CategoricalFeature):
                vector[at + _position(feature, value, path)] = 1.0
                at += len(feature.values)
            else:
                vector[at] = _standardised(feature, value, path)
                at += 1
        return vector

    def _hint(self) -> str:
        return f", known are {', '.join(sorted(self._allowed))}" if len(self._allowed) <= 20 else ""


def _position(feature: CategoricalFeature, value: Any, path: str) -> int:
    if not isinstance(value, str) or value not in feature.values:
        shown = ", ".join(feature.values[:20]) + (", …" if len(feature.values) > 20 else "")
        raise FieldError(f"{path}.{feature.name}", f"must be one of {shown}")
    return feature.values.index(value)


def _standardised(feature: NumericFeature, value: Any, path: str) -> float:
    if type(value) not in _NUMBERS:
        raise FieldError(f"{path}.{feature.name}", "must be a number")
    if not -_LARGEST <= value <= _LARGEST:
        raise FieldError(f"{path}.{feature.name}", "must be finite and within single precision")
    standardised = (float(value) - feature.mean) / feature.scale
    if not -_LARGEST <= standardised <= _LARGEST:
        raise FieldError(f"{path}.{feature.name}", "is out of range for its mean and scale")
    return standardised
