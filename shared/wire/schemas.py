"""The Avro schema of each topic, every version of it, and its fingerprint."""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint as avro_fingerprint
from fastavro.schema import to_parsing_canonical_form

Definition = dict[str, Any]

DIRECTORY = Path(__file__).resolve().parents[2] / "schemas"
MARKER = b"\xc3\x01"

# A record must fit into one Kafka batch (message.max.bytes, 1 MiB), and a decision also fits into its reward.
RECORD_LIMIT = 1 << 20
INPUT_LIMIT = 1 << 19
LIMITS = {"decisions": INPUT_LIMIT, "interactions": INPUT_LIMIT}


@dataclass(frozen=True, eq=False)
class Schema:
    """One topic's current schema, and the older versions that can still be read.

    `definition` is the JSON document, `fingerprint` its CRC-64-AVRO (8 bytes, little-endian) and `limit` the
    most bytes that a record may have. `encoder` is what fastavro writes with, `decoder` the same without
    logical types (so that times stay integers: milliseconds since 1970), and `writers` maps the fingerprint
    of every known version, this one included, to what fastavro resolves it from.
    """

    name: str
    definition: Definition
    fingerprint: bytes
    limit: int
    encoder: Any
    decoder: Any
    writers: Mapping[bytes, Any]

    @property
    def prefix(self) -> bytes:
        """The 10 bytes before the body in Avro's single-object encoding."""
        return MARKER + self.fingerprint


@cache
def schema(name: str) -> Schema:
    """The schema of the topic `name`; raises ValueError for a topic that has none."""
    return load(DIRECTORY, name)


def load(directory: Path, name: str) -> Schema:
    """Read `<name>.avsc` and `history/<name>.v*.avsc` below `directory`; raises ValueError if absent."""
    path = directory / f"{name}.avsc"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in directory.glob("*.avsc")))
        raise ValueError(f"no schema for the topic {name!r} in {directory}; there are: {known}")
    definition = read(path)
    older = [read(file) for file in history(directory, name).values()]
    writers = {fingerprint(old): decoder(old) for old in older}
    return Schema(
        name=name,
        definition=definition,
        fingerprint=fingerprint(definition),
        limit=LIMITS.get(name, RECORD_LIMIT),
        encoder=fastavro.parse_schema(definition),
        decoder=decoder(definition),
        writers={**writers, fingerprint(definition): decoder(definition)},
    )


def history(directory: Path, name: str) -> dict[int, Path]:
    """Version number → file, oldest first, of all kept versions of the topic `name`."""
    found = (directory / "history").glob(f"{name}.v*.avsc")
    return dict(sorted((int(file.stem.rpartition(".v")[2]), file) for file in found))


def read(path: Path) -> Definition:
    """The schema document in `path`."""
    definition: Definition = json.loads(path.read_text(encoding="utf-8"))
    return definition


def fingerprint(definition: Definition) -> bytes:
    """CRC-64-AVRO of the parsing canonical form, little-endian (Avro 1.12, Single-object encoding)."""
    return bytes.fromhex(avro_fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO"))


def decoder(definition: Definition) -> Any:
    """What fastavro reads with: `definition` without logical types."""
    return fastavro.parse_schema(without(definition, {"logicalType"}))


def without(definition: Any, attributes: Set[str]) -> Any:
    """A copy of `definition` that lacks the named JSON attributes at every depth."""
    if isinstance(definition, list):
        return [without(part, attributes) for part in definition]
    if isinstance(definition, dict):
        return {key: without(part, attributes) for key, part in definition.items() if key not in attributes}
    return definition
