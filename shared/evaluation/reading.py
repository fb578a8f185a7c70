"""A file of logged decisions, CSV or Parquet, as checked chunks of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from shared.applications.outcomes import Metric
from shared.core.estimators.hashing import Hashes
from shared.core.estimators.log import Logged, first_fault
from shared.evaluation.study import Chunk

REQUIRED = ("reward", "propensity", "target_propensity")
MODELS = ("q_logged", "q_target")
MOMENTS = ("weight_square", "weight_fourth")
"""`weights.expected_moments` of each decision."""
CLUSTER, SEGMENT = "cluster", "segment"
ROWS = 1 << 18
"""Of a chunk: some tens of megabytes with every column that is made of it."""
PARQUET_MAGIC = b"PAR1"


class BadLog(ValueError):
    """A file that cannot be evaluated; the message names the column and the row."""


class LogFile:
    """An open file of decisions.

    Args:
        path: CSV with a header line, or Parquet.
        metrics: columns to read beside the fixed ones.
        baseline: column of the baseline policy's propensities.
        outcomes: metrics that are made of columns.
        seed: of the subjects' hash.

    Raises BadLog if it is empty, unreadable, or lacks a column; OSError if it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        metrics: Sequence[str] = (),
        baseline: str | None = None,
        outcomes: Sequence[Metric] = (),
        seed: int = 0,
    ) -> None:
        self._path, self._metrics, self._baseline = path, tuple(metrics), baseline
        self._outcomes = tuple(outcomes)
        self._scan, self._names = scanned(path)
        self._seed = seed
        self._require()

    @property
    def models(self) -> bool:
        """Whether there are a reward model's predictions."""
        return MODELS[0] in self._names

    @property
    def clustered(self) -> bool:
        """Whether there are subjects."""
        return CLUSTER in self._names

    @property
    def segmented(self) -> bool:
        """Whether rows are divided into segments."""
        return SEGMENT in self._names

    def chunks(self) -> Iterator[Chunk]:
        """Read the file once, in order. Raises BadLog at the first value that cannot be used."""
        at = 0
        try:
            for frame in self._query().collect_batches(chunk_size=ROWS, maintain_order=True):
                if frame.height:
                    yield self._checked(frame, at)
                    at += frame.height
        except pl.exceptions.PolarsError as error:
            raise BadLog(f"{self._path}: after row {at}: {sentence(error)}") from None
        if not at:
            raise BadLog(f"{self._path}: the file has a header but no rows")

    @property
    def _numbers(self) -> list[str]:
        made_of = [name for each in self._outcomes for name in each.components]
        given = [name for pair in (MODELS, MOMENTS) if pair[0] in self._names for name in pair]
        named = [*REQUIRED, *given, *self._metrics, *made_of]
        return list(dict.fromkeys([*named, *([self._baseline] if self._baseline else [])]))

    def _require(self) -> None:
        wanted = [*REQUIRED, *self._metrics, *([self._baseline] if self._baseline else [])]
        for pair in (MODELS, MOMENTS):
            if any(name in self._names for name in pair):
                wanted += pair
        if missing := [name for name in wanted if name not in self._names]:
            has = ", ".join(self._names) or "none"
            raise BadLog(f"{self._path}: column {missing[0]} is missing; the columns are: {has}")

    def _query(self) -> pl.LazyFrame:
        columns = [
            pl.col(name).cast(pl.Float64, strict=False).fill_null(float("nan")) for name in self._numbers
        ]
        if self.clustered:
            subject = pl.col(CLUSTER)
            columns.append(pl.when(subject.is_not_null()).then(subject.hash(self._seed)).alias(CLUSTER))
        if self.segmented:
            columns.append(pl.col(SEGMENT).cast(pl.String).fill_null("none"))
        return self._scan.select(columns)

    def _checked(self, frame: pl.DataFrame, at: int) -> Chunk:
        values = {name: frame[name].to_numpy() for name in self._numbers}
        log = Logged(
            reward=values["reward"],
            propensity=values["propensity"],
            target_propensity=values["target_propensity"],
            q_logged=values.get(MODELS[0]),
            q_target=values.get(MODELS[1]),
            cluster=self._subjects(frame, at) if self.clustered else None,
            metrics={
                **{name: values[name] for name in self._metrics},
                **{each.name: each.of(values) for each in self._outcomes},
            },
            baseline_propensity=values[self._baseline] if self._baseline else None,
            moments=np.stack([values[name] for name in MOMENTS]) if MOMENTS[0] in values else None,
        )
        if fault := first_fault(log):
            column = fault.column if fault.column in values else str(self._baseline)
            raise self._fault(column, at + fault.row, fault.wanted)
        return Chunk(log, frame[SEGMENT].to_list() if self.segmented else None)

    def _subjects(self, frame: pl.DataFrame, at: int) -> Hashes:
        if frame[CLUSTER].null_count():
            raise self._fault(CLUSTER, at + int(frame[CLUSTER].is_null().arg_max() or 0), "given")
        return np.asarray(frame[CLUSTER].to_numpy(), np.uint64)

    def _fault(self, column: str, row: int, wanted: str) -> BadLog:
        value = self._scan.select(column).slice(row, 1).collect().item()
        shown = "nothing" if value is None else value
        return BadLog(f"{self._path}: column {column}, row {row + 1}: {shown}; it must be {wanted}")


def scanned(path: Path) -> tuple[pl.LazyFrame, list[str]]:
    """An open file and the names of its columns. Raises BadLog, OSError."""
    with path.open("rb") as file:
        start = file.read(len(PARQUET_MAGIC))
    if not start:
        raise BadLog(f"{path}: the file is empty")
    try:
        # Text stays text until a value is wanted, so that a wrong one can be shown as it is written.
        scan = pl.scan_parquet(path) if start == PARQUET_MAGIC else pl.scan_csv(path, infer_schema=False)
        return scan, scan.collect_schema().names()
    except pl.exceptions.PolarsError as error:
        raise BadLog(f"{path}: {sentence(error)}") from None


def sentence(error: Exception) -> str:
    """A Polars error without its advice to programmers."""
    return str(error).strip().partition("\n")[0]
