"""A file of JSON lines or Parquet to the data of one application."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from shared.algorithms.contract import Dataset, Source
from shared.algorithms.reading import archive
from shared.algorithms.reading.readers import reader
from shared.applications.contract import Application, FieldError

#: Bad lines that are named; more are counted.
MOST_NAMED = 20
#: A longer line is refused unread.
LONGEST_LINE = 16 << 20
PARQUET = ".parquet"


class DataError(ValueError):
    """A file with lines that cannot be used: the message names each by number and field, up to MOST_NAMED."""


def read_file(application: Application, file: Path, previous: Path | None = None) -> Dataset:
    """Read all of a file, or nothing: JSON lines in the application's form, or archived rewards (Parquet).

    Raises DataError, NotTrainable, OSError.
    """
    if file.suffix == PARQUET:
        tables = archive.tables(application, _parquet(file))
    else:
        tables = dict(reader(application.name).tables(application, _lines(application, file)))
    rows = max((len(table) for table in tables.values()), default=0)
    source = Source(file.name, _sha256(file), rows)
    return Dataset(application.name, tables, (source,), application.actions, previous)


def _parquet(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file}: is no Parquet: {error}") from error


def _lines(application: Application, file: Path) -> list[Any]:
    """Every line's record. Raises DataError if there is one that is none."""
    module, records, numbers, faults = reader(application.name), [], [], _Faults(file.name)
    for number, line in _documents(file):
        try:
            if isinstance(line, str):
                raise FieldError("line", line)
            records.append(module.read_line(application, line))
            numbers.append(number)
        except FieldError as error:
            faults.add(number, error)
    if not faults.count and hasattr(module, "problems"):
        for position, fault in module.problems(records):
            faults.add(numbers[position], fault)
    faults.check()
    if not records:
        raise DataError(f"{file.name}: has no lines")
    return records


class _Faults:
    """Lines that are wrong: all are counted, the first ones named."""

    def __init__(self, file: str) -> None:
        self.count, self._file, self._named = 0, file, list[str]()

    def add(self, number: int, error: FieldError) -> None:
        self.count += 1
        if self.count <= MOST_NAMED:
            self._named.append(f"{self._file}, line {number}: {error}")

    def check(self) -> None:
        if self.count > MOST_NAMED:
            self._named.append(f"{self._file}: {self.count - MOST_NAMED} more lines are wrong")
        if self._named:
            raise DataError("\n".join(self._named))


def _documents(file: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Number, from 1, and object of each line that is not blank; for a line that is no object, why."""
    with file.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), 1):
            if len(line) > LONGEST_LINE:
                raise DataError(f"{file.name}, line {number}: longer than {LONGEST_LINE} bytes")
            if not line.strip():
                continue
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, f"no JSON: {error}"
                continue
            yield number, document if isinstance(document, dict) else "must be an object"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
