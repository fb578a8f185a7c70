"""Avro's schema resolution rules (Avro 1.12, Schema Resolution), as a list of what a reader cannot read."""

from itertools import permutations
from pathlib import Path
from typing import Any

from shared.wire.schemas import Definition, history, read

PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def incompatible(directory: Path) -> list[str]:
    """Every pair of versions of one topic below `directory` in which one cannot read the other."""
    found = []
    for path in sorted(directory.glob("*.avsc")):
        older = {
            f"{path.stem} v{number}": read(file) for number, file in history(directory, path.stem).items()
        }
        versions = {f"{path.stem} current": read(path), **older}
        for reader, writer in permutations(versions, 2):
            problems = unreadable(versions[reader], versions[writer])
            found += [f"{reader} cannot read {writer}: {problem}" for problem in problems]
    return found


def unreadable(reader: Any, writer: Any, path: str = "") -> list[str]:
    """Why data of the type `writer` cannot be read as `reader`; types are written out, not named."""
    if isinstance(writer, list):
        return [problem for branch in writer for problem in unreadable(reader, branch, path)]
    if isinstance(reader, list):
        attempts = [unreadable(branch, writer, path) for branch in reader]
        return [] if [] in attempts else [f"{path}: {kind(writer)} is in no branch of the union"]
    if logical(reader) != logical(writer):
        return [f"{path}: logical type {logical(writer)} became {logical(reader)}"]
    if kind(reader) != kind(writer):
        promoted = kind(reader) in PROMOTIONS.get(kind(writer), set())
        return [] if promoted else [f"{path}: {kind(writer)} cannot be read as {kind(reader)}"]
    if kind(reader) == "array":
        return unreadable(reader["items"], writer["items"], f"{path}[]")
    return unreadable_record(reader, writer, path) if kind(reader) == "record" else []


def unreadable_record(reader: Definition, writer: Definition, path: str) -> list[str]:
    """As `unreadable`, for two records: names agree, and what is absent has a default."""
    if reader["name"] != writer["name"]:
        return [f"{path}: the record {writer['name']} became {reader['name']}"]
    written = {field["name"]: field["type"] for field in writer["fields"]}
    found = []
    for field in reader["fields"]:
        inner = f"{path}.{field['name']}"
        if field["name"] in written:
            found += unreadable(field["type"], written[field["name"]], inner)
        elif "default" not in field:
            found.append(f"{inner}: not written, and without a default")
    return found


def kind(definition: Any) -> str:
    """The name of an Avro type: a primitive's, or array, record, …"""
    if isinstance(definition, str):
        return definition
    name: str = definition["type"]
    return name


def logical(definition: Any) -> str | None:
    """The logical type, if there is one."""
    return definition.get("logicalType") if isinstance(definition, dict) else None
