"""YAML files to settings, with errors that say where and what instead."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.applications.settings import ApplicationSettings
from shared.http.errors import path as dotted

M = TypeVar("M", bound=BaseModel)


class SettingsError(ValueError):
    """A file of settings that cannot be used; the message has a line for each problem."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = getattr(key_node, "value", None)
            if isinstance(key, str) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


#: What pydantic adds to locations: branches of unions, and a section that is flat in the file.
_ADDED = frozenset({"numeric", "categorical", "list of actions", "features of actions", "configuration"})
#: Words of YAML for words of Python.
_WORDS = {
    "tuple": "list",
    "Tuple": "the list",
    "dictionary or instance of": "mapping, as for",
    "dictionary": "mapping",
}


def _message(found: ErrorDetails) -> str:
    context: Mapping[str, Any] = found.get("ctx", {})
    location = [part for part in found["loc"] if part not in _ADDED] + (
        [context["key"]] if "key" in context else []
    )
    text, given = found["msg"], found["input"]
    if found["type"] == "literal_error":
        text = f"{given!r} is not one of {context['expected'].replace(' or ', ', ')}"
    elif found["type"] == "union_tag_invalid":
        location.append("type")
        text = f"{context['tag']!r} is not one of {context['expected_tags']}"
    elif found["type"] == "union_tag_not_found":
        location.append("type")
        text = "missing: numeric or categorical"
    elif found["type"] == "string_type" and isinstance(given, bool | int | float):
        text = f"{given!r} is no text: put it in quotes"
    elif found["type"] == "value_error":
        key, _, text = text.removeprefix("Value error, ").partition(" ")
        location.append(key)
    elif found["type"] == "missing":
        text = "missing"
    elif found["type"] == "string_pattern_mismatch":
        text = f"{given!r} does not match {context['pattern']}"
    text = text.partition(" after validation")[0]
    for ours, theirs in _WORDS.items():
        text = text.replace(ours, theirs)
    return f"{dotted(location)}: {text}" if location else text


def _roots(error: ValidationError) -> list[ErrorDetails]:
    """The errors without those that only follow from others inside the same field."""
    found = error.errors()
    inner = {details["loc"][:length] for details in found for length in range(len(details["loc"]))}
    return [details for details in found if details["loc"] not in inner or details["type"] == "invalid"]


def read(file: Path) -> ApplicationSettings:
    """The settings in `file`. Raises `SettingsError` naming file, field and allowed values."""
    return read_as(file, ApplicationSettings)


def read_as(file: Path, model: type[M]) -> M:
    """What `file` says, as `model`. Raises `SettingsError` naming file, field and allowed values."""
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, OSError, UnicodeDecodeError, ValueError) as error:
        raise SettingsError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(document, dict):
        keys = [name for name, field in model.model_fields.items() if field.is_required()]
        raise SettingsError(f"{file}: expected a mapping with {', '.join(keys)}, …")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise SettingsError("\n".join(f"{file}: {_message(found)}" for found in _roots(error))) from error
