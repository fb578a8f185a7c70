"""When to train without being asked: after so many new rewards, at set times, when rewards drift.

Everything is worked out from the archive and a note beside it of what has been triggered, so it does not
matter which trainer looks, nor how often it was started. A request's id follows from what caused it: the same
cause asked for twice, by a process that was killed in between, is known as one request.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson
import polars as pl
from numpy.typing import NDArray

from services.trainer.samples import Buffer, Samples
from shared.applications.contract import Application
from shared.applications.settings import DriftSettings, TrainingSettings
from shared.archive.archive import Archive
from shared.archive.names import Part
from shared.wire.training import Reason, Trigger

FOLDER = "watched"
REQUESTED_BY = "trainer"
HURRY = 2
"""With so many times the samples that a training needs, no pause is made."""
MILLISECOND = timedelta(milliseconds=1)
_REWARDS = ["partition", "offset", "reward", "reward_time", "revision"]


class Detector(Protocol):
    """river's change detectors, as far as they are used here."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last observation was an alarm."""

    def update(self, x: float) -> None:
        """Take the next observation."""


@dataclass(frozen=True)
class Note:
    """What has been triggered for one application: (partition as text) → first offset that came later."""

    counted: Mapping[str, int] = field(default_factory=dict)
    drifted: Mapping[str, int] = field(default_factory=dict)
    scheduled: int = 0
    counted_at: int = 0
    """When a count was last asked for, milliseconds since 1970; 0: never."""


@dataclass(frozen=True)
class Cause:
    """A reason to train, and the note to keep once it was asked for."""

    trigger: Trigger
    note: Note


@dataclass(frozen=True)
class Standing:
    """Where an application stands between two trainings."""

    buffer: Buffer | None
    """None where all samples count."""
    new: int
    """Samples since a training was last asked for by count; 0 where nothing counts them."""
    should_retrain: bool
    """Whether the next look asks for a training, by count or time."""


class Watcher:
    """Looks at one application. Its detector remembers rewards between looks, and can be built anew."""

    def __init__(self, application: Application, archive: Archive) -> None:
        self._name, self._archive = application.name, archive
        self._settings: TrainingSettings = application.settings.training
        self._samples = Samples(archive, self._settings.counted)
        self._drift: Drift | None = None

    @property
    def idle(self) -> bool:
        """Whether the application is trained on request only."""
        chosen = self._settings
        return chosen.every is None and chosen.schedule is None and chosen.drift is None

    def look(self, now: int) -> list[Cause]:
        """What there is to ask for at a time (milliseconds). Raises OSError."""
        note = self._read(now)
        parts = self._archive.parts(self._name)
        causes = [
            self._count(note, parts, now),
            self._due(note, now),
            self._drifted(note, parts, now),
        ]
        return [cause for cause in causes if cause is not None]

    def standing(self, now: int) -> Standing:
        """How far it is at a time (milliseconds), which asks for nothing. Raises OSError."""
        note, parts, most = self._read(now), self._archive.parts(self._name), self._settings.buffer
        causes = (self._count(note, parts, now), self._due(note, now))
        return Standing(
            buffer=None if most is None else self._samples.newest(parts, most),
            new=0 if self._settings.every is None else self._samples.count(_new(parts, note.counted)),
            should_retrain=any(causes),
        )

    def keep(self, cause: Cause) -> None:
        """Note that a cause was asked for. Raises OSError."""
        current = self._read(cause.trigger.requested_at)
        match cause.trigger.reason:
            case "count":
                note = cause.note
                current = replace(current, counted=note.counted, counted_at=note.counted_at)
            case "schedule":
                current = replace(current, scheduled=cause.note.scheduled)
            case _:
                current = replace(current, drifted=cause.note.drifted)
        self._archive.storage.write(self._file, orjson.dumps(asdict(current)))

    @property
    def _file(self) -> str:
        return f"{FOLDER}/{self._name}.json"

    def _read(self, now: int) -> Note:
        try:
            return Note(**orjson.loads(self._archive.storage.read(self._file)))
        except FileNotFoundError:
            note = Note(scheduled=now)  # times before the first look are not made up for
            self._archive.storage.write(self._file, orjson.dumps(asdict(note)))
            return note

    def _count(self, note: Note, parts: list[Part], now: int) -> Cause | None:
        every, pause = self._settings.every, self._settings.pause
        if every is None or (count := self._samples.count(_new(parts, note.counted))) < every:
            return None
        if pause is not None and count < HURRY * every and now - note.counted_at < pause // MILLISECOND:
            return None
        what = "rewards" if self._settings.counted == "rewards" else "rewards with feedback"
        counted = replace(note, counted=_ends(parts), counted_at=now)
        return self._cause("count", _mark(note.counted), now, f"{count} new {what}", counted)

    def _due(self, note: Note, now: int) -> Cause | None:
        if self._settings.schedule is None:
            return None
        from croniter import croniter

        after = datetime.fromtimestamp(now / 1000, UTC) + timedelta(microseconds=1)  # this moment counts
        last = croniter(self._settings.schedule, after).get_prev(datetime)
        at = round(last.timestamp() * 1000)
        if at <= note.scheduled:
            return None
        return self._cause("schedule", str(at), now, last.isoformat(), replace(note, scheduled=at))

    def _drifted(self, note: Note, parts: list[Part], now: int) -> Cause | None:
        if self._settings.drift is None:
            return None
        if self._drift is None or self._drift.start != note.drifted:
            self._drift = Drift(self._settings.drift, note.drifted)
        detail, seen = self._drift.look(self._archive, parts), self._drift.seen
        if detail is None:
            return None
        self._drift = None  # the next look begins where the note then says
        return self._cause("drift", _mark(note.drifted), now, detail, replace(note, drifted=seen))

    def _cause(self, reason: Reason, mark: str, now: int, detail: str, note: Note) -> Cause:
        trigger = Trigger(
            request_id=f"{reason}-{self._name}-{mark}",
            application=self._name,
            reason=reason,
            requested_by=REQUESTED_BY,
            requested_at=now,
            detail=detail,
        )
        return Cause(trigger, note)


class Drift:
    """Rewards of an application, from offsets `start` on, through a change detector, a block at a time."""

    def __init__(self, settings: DriftSettings, start: Mapping[str, int]) -> None:
        self.start = dict(start)
        self.seen = dict(start)
        self._block, self._detector = settings.block, detector(settings)
        self._rest: NDArray[Any] | None = None

    def look(self, archive: Archive, parts: list[Part]) -> str | None:
        """Take in what was archived since the last look; what has changed, in words, if anything has."""
        if not (new := _new(parts, self.seen)):
            return None
        rewards = pl.concat([archive.load(part, _REWARDS) for part in new])
        self.seen |= _ends(new)
        first = rewards.filter(pl.col("revision") == 0).sort("reward_time", maintain_order=True)["reward"]
        values = first if self._rest is None else pl.concat([pl.Series("reward", self._rest), first])
        whole = len(values) // self._block * self._block
        self._rest = values[whole:].to_numpy()
        before = 0.0
        for mean in values[:whole].to_numpy().reshape(-1, self._block).mean(axis=1).tolist():
            self._detector.update(mean)
            if self._detector.drift_detected:
                return f"the mean reward of {self._block} went from about {before:.4g} to {mean:.4g}"
            before = mean
        return None


def detector(settings: DriftSettings) -> Detector:
    """The detector that the settings ask for."""
    from river import drift  # it imports scipy: only where an application watches for drift

    if settings.kind == "adwin":
        return drift.ADWIN(delta=settings.delta)  # type: ignore[no-untyped-call]
    return drift.PageHinkley(delta=settings.delta, threshold=settings.threshold)


def _new(parts: list[Part], seen: Mapping[str, int]) -> list[Part]:
    return [part for part in parts if part.next > seen.get(str(part.partition), 0)]


def _ends(parts: list[Part]) -> dict[str, int]:
    ends: dict[str, int] = {}
    for part in parts:
        ends[str(part.partition)] = max(part.next, ends.get(str(part.partition), 0))
    return ends


def _mark(offsets: Mapping[str, int]) -> str:
    """A text that says from where a cause was looked for."""
    return ".".join(f"{partition}-{offset}" for partition, offset in sorted(offsets.items())) or "0"
