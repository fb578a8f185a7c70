"""manifest.json: what an artefact is, where it came from, and the digest of each of its files."""

import hashlib
import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

#: What files may be. None of them can run code when it is read; a pickle is none of them.
SUFFIXES = frozenset({".safetensors", ".onnx", ".json", ".jsonl", ".yaml", ".gguf", ".txt", ".jinja"})
#: Files without a suffix that have a name of their own: Ollama's.
NAMES = frozenset({"Modelfile"})
MANIFEST = "manifest.json"

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class File(_Part):
    """A file's digest and size."""

    sha256: Digest
    bytes: Count


class LineageSource(_Part):
    """A file of the training data; see `contract.Source`."""

    file: str
    sha256: Digest
    rows: Count
    partition: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None


class Manifest(_Part):
    """Everything that is said of an artefact. Equal content has an equal id, whenever it was made."""

    format: Literal[1] = 1
    """Raised when a reader of the old form could misread the new one."""
    application: Name
    algorithm: Name
    parameters: dict[str, Any]
    seed: int
    inputs: dict[str, Any]
    """JSON Schema of what the policy needs to decide."""
    lineage: list[LineageSource]
    previous: Digest | None = None
    """Id of the artefact that training went on from."""
    metrics: dict[str, float]
    libraries: dict[str, str]
    """Distribution → version, and python's."""
    files: dict[str, File]
    """Path inside the folder, with /, → digest."""

    @field_validator("files")
    @classmethod
    def _plain_paths(cls, files: dict[str, File]) -> dict[str, File]:
        for name in files:
            if problem := file_problem(name):
                raise ValueError(f"{name!r:.200} {problem}")
        return files

    @property
    def id(self) -> str:
        """sha256 of the content, in 64 hex digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def size(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files.values())

    def to_bytes(self) -> bytes:
        """Canonical JSON: keys sorted, nothing that changes from one writing to the next."""
        document = self.model_dump(mode="json")
        return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Restore. Raises ValueError (pydantic's ValidationError) for anything else."""
        return cls.model_validate_json(raw)


def file_problem(name: str) -> str | None:
    """What is wrong with a path inside an artefact, if anything."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name:
        return "is no plain path inside the folder"
    if name == MANIFEST:
        return "is the manifest itself"
    if path.suffix not in SUFFIXES and path.name not in NAMES:
        return f"is not of an allowed kind ({', '.join(sorted(SUFFIXES | NAMES))})"
    return None
