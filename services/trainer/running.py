"""One job's attempts: begun, watched, begun again after a crash, ended."""

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from services.trainer.child import Child, Crash, Limit
from services.trainer.orders import Orders, Outcome
from services.trainer.settings import TrainerSettings
from shared.wire.training import Candidate, Status

MEBIBYTE = 1 << 20
LONGEST_BACKOFF_S = 300.0
MEMORY_EVERY_S = 0.5
"""Looking at the memory of many processes takes milliseconds."""


class Training:
    """A job that runs. `record` is where it stands, as the topic has it or will have it."""

    def __init__(
        self,
        settings: TrainerSettings,
        begun: Candidate,
        previous: str,
        export: tuple[str, ...],
        work: Path,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.record = begun
        self.folder = work / hashlib.sha256(begun.request_id.encode()).hexdigest()[:16]
        self._settings, self._previous, self._export = settings, previous, export
        self._clock, self._monotonic = clock, monotonic
        self._child: Child | None = None
        self._due = self._told = monotonic()
        self._deadline = self._measured = 0.0

    def look(self) -> Candidate | None:
        """Do what is due; returns a record to write, if there is one."""
        now = self._monotonic()
        if self._child is None:
            return self._start() if now >= self._due else None
        ended = self._child.ended() or self._exceeded(self._child, now)
        if ended is None:
            return self._progress(self._child, now)
        self.stop()
        return self._over(ended) if isinstance(ended, Outcome) else self._again(ended, now)

    def _again(self, ended: Crash | Limit, now: float) -> Candidate:
        if isinstance(ended, Limit) or self.record.attempt >= self._settings.attempts:
            return self._closed("failed", ended.reason)
        self._due = now + self._backoff()
        said = f"attempt {self.record.attempt} crashed: {ended.reason}"
        self.record = replace(self.record, attempt=self.record.attempt + 1, message=said, progress=0.0)
        return self._stamped()

    def stop(self) -> None:
        """End the process, if one runs."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _start(self) -> Candidate | None:
        orders = Orders(
            application=self.record.application,
            algorithm=self.record.algorithm,
            parameters=self.record.parameters,
            seed=self.record.seed,
            spans=self.record.lineage,
            decided_from=self.record.decided_from,
            archive=self._settings.archive_address,
            artefacts=self._settings.artefact_address,
            previous=self._previous,
            applications=str(self._settings.applications or ""),
            export=self._export,
            exports=self._settings.export_address,
        )
        try:
            self._child = Child(self._settings.training_command, orders, self.folder)
        except OSError as error:
            return self._again(
                Crash(f"the training process could not be started: {error}"), self._monotonic()
            )
        self._deadline = self._monotonic() + self._settings.time_limit.total_seconds()
        return None

    def _exceeded(self, child: Child, now: float) -> Limit | None:
        if now > self._deadline:
            return Limit(f"it took longer than {self._settings.time_limit}")
        if now - self._measured < MEMORY_EVERY_S:
            return None
        self._measured = now
        if (used := child.memory() / MEBIBYTE) > self._settings.memory_mb:
            return Limit(f"it used {used:.0f} MiB of memory, and may use {self._settings.memory_mb}")
        return None

    def _progress(self, child: Child, now: float) -> Candidate | None:
        said = child.progress
        moved = (said.share, said.message) != (self.record.progress, self.record.message)
        if not moved or now - self._told < self._settings.progress_every.total_seconds():
            return None
        self._told = now
        self.record = replace(self.record, progress=said.share, message=said.message)
        return self._stamped()

    def _over(self, outcome: Outcome) -> Candidate:
        if outcome.refused:
            return self._closed("refused", outcome.refused)
        if outcome.failed:
            return self._closed("failed", outcome.failed)
        self.record = replace(
            self.record,
            candidate_id=outcome.candidate_id,
            manifest_sha256=outcome.candidate_id,
            artefact=outcome.artefact,
            rows=outcome.rows,
            metrics=outcome.metrics,
            progress=1.0,
        )
        return self._closed("trained", "", outcome.message)

    def _closed(self, status: Status, reason: str, message: str = "") -> Candidate:
        self.record = replace(self.record, status=status, reason=reason, message=message)
        return self._stamped()

    def _stamped(self) -> Candidate:
        self.record = replace(self.record, at=self._clock())
        return self.record

    def _backoff(self) -> float:
        """Twice as long after each crash, up to a limit, and not the same for all who crashed together."""
        longest: float = self._settings.backoff.total_seconds() * 2 ** (self.record.attempt - 1)
        jitter = random.Random(f"{self.record.request_id}{self.record.attempt}").uniform(0.8, 1.2)  # noqa: S311
        return min(LONGEST_BACKOFF_S, longest * jitter)
