"""What the trainer tells a training process, and what that process tells back, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from shared.wire.training import Span

#: A training process ends with this when it has said how it went; with anything else it has crashed.
SAID = 0


@dataclass(frozen=True)
class Orders:
    """One training. Addresses are as fsspec has them; `previous` is an artefact's, empty for none."""

    application: str
    algorithm: str
    parameters: Mapping[str, Any]
    seed: int
    spans: tuple[Span, ...]
    decided_from: int
    archive: str
    artefacts: str
    previous: str = ""
    applications: str = ""
    export: tuple[str, ...] = ()
    """Kinds of GGUF to make of the candidate …"""
    exports: str = ""
    """… and the address for them."""

    def write(self, path: Path) -> None:
        """Put them down for the process. Raises OSError."""
        path.write_text(json.dumps(asdict(self)))


def read_orders(path: Path) -> Orders:
    """The orders in a file. Raises OSError, ValueError."""
    document = json.loads(path.read_text())
    spans = tuple(Span(**each) for each in document.pop("spans"))
    return Orders(**document | {"export": tuple(document["export"])}, spans=spans)


@dataclass(frozen=True)
class Progress:
    """How far it is: a share in [0, 1], and what is being done."""

    share: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Outcome:
    """How it went: `refused` says why the data do not allow it, `failed` what it cannot be done without here.

    Without either, all the others are there; `message` says what else was made.
    """

    refused: str = ""
    failed: str = ""
    candidate_id: str = ""
    artefact: str = ""
    rows: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


def to_line(said: Progress | Outcome) -> str:
    """A line of the process's standard output."""
    return json.dumps({"progress" if isinstance(said, Progress) else "outcome": asdict(said)})


def from_line(line: str) -> Progress | Outcome:
    """What a line says. Raises ValueError."""
    document = json.loads(line)
    try:
        return Progress(**document["progress"]) if "progress" in document else Outcome(**document["outcome"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"{line!r:.200} is nothing that a training says") from error
