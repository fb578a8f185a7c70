"""Hyper-parameters from presets, YAML and flags, with errors that name the field."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.http.errors import path


class ParameterError(ValueError):
    """A hyper-parameter that is unknown or out of its range; a line for each."""


def chosen(
    kind: type, presets: Mapping[str, Any], preset: str = "default", *overrides: Mapping[str, Any]
) -> Any:
    """Return a preset with overrides, the later ones first in rank. Raises ParameterError."""
    if preset not in presets:
        raise ParameterError(f"preset: {preset!r} is not one of {', '.join(presets)}")
    values = asdict(presets[preset])
    for given in overrides:
        values.update(given)
    return from_document(kind, values)


def from_document(kind: type, document: Mapping[str, Any]) -> Any:
    """Return the `Parameters` that `to_document` made. Raises ParameterError naming each wrong field."""
    known = [field.name for field in fields(kind)]
    if unknown := sorted(str(name) for name in document if name not in known):
        raise ParameterError(f"{unknown[0]}: no such hyper-parameter, there are {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(document))
    except ValidationError as error:
        found = (f"{path(each['loc']) or 'parameters'}: {_message(each)}" for each in error.errors())
        raise ParameterError("\n".join(found)) from error


def to_document(parameters: Any) -> dict[str, Any]:
    """Return the hyper-parameters as JSON can hold them."""
    document: dict[str, Any] = TypeAdapter(type(parameters)).dump_python(parameters, mode="json")
    return document


def _message(found: Mapping[str, Any]) -> str:
    return f"{str(found['msg']).removeprefix('Value error, ')} (given: {found['input']!r:.60})"
