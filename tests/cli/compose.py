"""Reads docker-compose.yml as Compose does: anchors, merges and ${VARIABLE} interpolation."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}")


class Unset(ValueError):
    """A variable that the file requires is not set."""


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The document with variables from `environment`. Raises `Unset`."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    interpolated: dict[str, Any] = _interpolate(document, environment)
    return {name: part for name, part in interpolated.items() if not name.startswith("x-")}


def _interpolate(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _interpolate(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolate(value, environment) for value in node]
    if not isinstance(node, str):
        return node

    def value(found: re.Match[str]) -> str:
        given = environment.get(found["name"], "")
        if not given and found["kind"] == ":?":
            raise Unset(f"{found['name']}: {found['rest']}")
        return given or (found["rest"] or "")

    return _VARIABLE.sub(value, node)
