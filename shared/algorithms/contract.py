"""What an algorithm is: a folder of `shared/algorithms` with two modules, found by the registry.

`declaration.py` imports nothing heavy and holds
    Parameters      one frozen dataclass of hyper-parameters, documented field by field, `config=PARAMETERS`
    PRESETS         name → Parameters; "default" is one of them
    APPLICATIONS    names of the applications that it is for; GENERIC: every application of YAML alone
    TABLES          table of the data → columns that it reads
    LIBRARIES       distributions whose versions the manifest keeps
    MODELS          optional: hyper-parameters that name folders of language models
    inputs(data)    JSON Schema of what its policy needs to decide
`train.py`, the only file that imports its library, holds `Parameters`, `summary`, `train` (see `Training`).
A folder whose policy the decision API can serve has `serve.py` as well (see `serving.py`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl
from pydantic import ConfigDict

#: The configuration of every `Parameters`: `@pydantic.dataclasses.dataclass(frozen=True, config=PARAMETERS)`.
#: The docstring under a field becomes the help of its flag.
PARAMETERS = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

#: Share done, in [0, 1], and what is being done.
Progress = Callable[[float, str], None]
#: Among the applications of an algorithm: every one of YAML alone.
GENERIC = "generic"
#: Name → polars type; a list or struct column gives its own type.
Columns = Mapping[str, Any]


class NotTrainable(ValueError):
    """The data do not allow training; the message says what is missing or wrong, with number and limit."""


@dataclass(frozen=True)
class Source:
    """One file of the data. A file of the archive names its part of the log; offsets are inclusive."""

    file: str
    sha256: str
    rows: int
    partition: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """What is trained on: tables by name, and where every row came from."""

    application: str
    tables: Mapping[str, pl.DataFrame]
    lineage: tuple[Source, ...]
    actions: Sequence[str] = ()
    """The application's actions, in the order of logged probabilities; empty where they are not a list."""
    previous: Path | None = None
    """A verified artefact of the same algorithm that training goes on from, where it can."""

    def table(self, name: str, columns: Columns) -> pl.DataFrame:
        """Return these columns of a table, cast to their types, in this order.

        Raises NotTrainable naming a table or column that is missing, cannot be cast, holds nulls, or holds
        NaN or infinity (in lists too).
        """
        if name not in self.tables:
            raise NotTrainable(f"{name}: no such table; there are {', '.join(sorted(self.tables)) or 'none'}")
        frame = self.tables[name]
        if missing := [column for column in columns if column not in frame.columns]:
            raise NotTrainable(f"{name}: column {', '.join(missing)} missing")
        if frame.is_empty():
            raise NotTrainable(f"{name}: no rows")
        return frame.select(_sound(name, frame[column], kind) for column, kind in columns.items())


class Training(Protocol):
    """A module `train.py`."""

    Parameters: type

    def summary(self, data: Dataset, parameters: Any) -> Mapping[str, Any]:
        """What would be trained on, as JSON: `--dry-run`. Raises NotTrainable."""

    def train(
        self, data: Dataset, parameters: Any, seed: int, out: Path, progress: Progress
    ) -> Mapping[str, float]:
        """Train, write the policy's files into the folder `out`, and return finite metrics.

        Equal arguments give equal files. Raises NotTrainable, before it writes anything.
        """


class Declaration(Protocol):
    """A module `declaration.py`."""

    Parameters: type
    PRESETS: Mapping[str, Any]
    APPLICATIONS: Sequence[str]
    TABLES: Mapping[str, Columns]
    LIBRARIES: Sequence[str]

    def inputs(self, data: Dataset) -> Mapping[str, Any]:
        """JSON Schema of what the trained policy needs to decide."""


def vector(width: int) -> dict[str, Any]:
    """JSON Schema of a list of so many numbers."""
    return {"type": "array", "items": {"type": "number"}, "minItems": width, "maxItems": width}


def finite_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics as plain floats. Raises ValueError naming one that is not finite."""
    found = {name: float(value) for name, value in metrics.items()}
    for name, value in found.items():
        if not math.isfinite(value):
            raise ValueError(f"metric {name} is {value}")
    return found


def _sound(table: str, column: pl.Series, kind: Any) -> pl.Series:
    name = f"{table}.{column.name}"
    try:
        cast = column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise NotTrainable(f"{name}: {column.dtype} where {kind} is needed") from error
    if count := cast.null_count():
        row = cast.is_null().arg_true()[0]
        raise NotTrainable(f"{name}: {count} rows have no value, the first of them row {row}")
    numbers = cast.explode() if isinstance(cast.dtype, pl.List) else cast
    if numbers.dtype.is_float() and (wrong := int((~numbers.is_finite()).sum() + numbers.null_count())):
        raise NotTrainable(f"{name}: {wrong} values are NaN, infinite or missing")
    return cast
