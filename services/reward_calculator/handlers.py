"""Records to the join's columns and emissions to records: pure functions over batches."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.applications.contract import Application
from shared.applications.measures import measured
from shared.broker.partitioner import partitions_for
from shared.core.join import Decisions, Emission, Interactions, Refusal, Window
from shared.core.join import concat as concat_emissions
from shared.core.join.facts import Bools, Floats, Ints
from shared.wire.columns import Columns, decode_columns
from shared.wire.rewards import encode_rewards
from shared.wire.schemas import schema
from shared.wire.slices import Slices, concat

T = TypeVar("T", Decisions, Interactions)

ACTIVATION = "$activation"
"""Type of the interaction that activates a deferred decision."""


@dataclass(frozen=True)
class Records:
    """Raw records of one topic and partition, in log order."""

    topic: str
    """"decisions" or "interactions", without the cluster's prefix."""
    partition: int
    keys: Slices
    values: Slices
    offsets: Ints
    timestamps: Ints
    next_offset: int
    """Where reading goes on, behind transaction markers too; a batch without records may move it."""

    def __len__(self) -> int:
        return len(self.values)

    def split(self, offset: int) -> tuple["Records", "Records"]:
        """The records before an offset, and the others."""
        cut = int(np.searchsorted(self.offsets, offset))
        return (
            self._part(slice(cut), min(self.next_offset, offset)),
            self._part(slice(cut, None), self.next_offset),
        )

    def _part(self, part: slice, next_offset: int) -> "Records":
        return replace(
            self,
            keys=self.keys[part],
            values=self.values[part],
            offsets=self.offsets[part],
            timestamps=self.timestamps[part],
            next_offset=next_offset,
        )


@dataclass(frozen=True)
class Dead:
    """A record that cannot be used, byte for byte, and why."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    message: str


@dataclass(frozen=True)
class Moved:
    """A record that lies in a partition that is not its key's."""

    topic: str
    partition: int
    """Where it belongs."""
    key: bytes
    value: bytes | None


@dataclass(frozen=True)
class Sifted:
    """What of some batches does not reach the join."""

    dead: list[Dead] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)


class _Gathered:
    """Batches of one topic as one: what is fixed about decoding is paid once for all partitions."""

    def __init__(self, batches: Sequence[Records]) -> None:
        self.topic = batches[0].topic
        self.keys, self.values = concat([b.keys for b in batches], [b.values for b in batches])
        self.offsets = np.concatenate([b.offsets for b in batches])
        self.timestamps = np.concatenate([b.timestamps for b in batches])
        self.partitions = np.repeat([b.partition for b in batches], [len(b) for b in batches])

    def runs(self, rows: Ints) -> Iterator[tuple[int, slice]]:
        """Each partition, and which of `rows` (ascending) lie in it."""
        partitions = self.partitions[rows]
        bounds = [*np.flatnonzero(np.diff(partitions, prepend=-1)).tolist(), len(rows)]
        for start, end in pairwise(bounds):
            yield int(partitions[start]), slice(start, end)


def window(application: Application, observed: bool = False) -> Window:
    """The application's reward settings as the join wants them."""
    reward = application.settings.reward
    return Window(
        wait=round(reward.wait.total_seconds() * 1000),
        early_grace=round(reward.early_grace.total_seconds() * 1000),
        hold=round(reward.hold.total_seconds() * 1000),
        immediate=reward.emission == "on_interaction",
        default=reward.default,
        observed=observed,
    )


class Handlers:
    """The pure half of the service, for a fixed list of applications and number of partitions.

    `observed` names applications whose metrics of their own are told of interactions.
    """

    def __init__(
        self, applications: Mapping[str, Application], partitions: int, observed: Collection[str] = ()
    ) -> None:
        self.applications = list(applications.values())
        self.windows = [window(a, a.name in observed) for a in self.applications]
        self._partitions = partitions
        self._codes = {name: code for code, name in enumerate(applications)}
        self._widths = np.array([a.context_width for a in self.applications] or [0], np.int64)

    def decisions(self, batches: Sequence[Records]) -> tuple[dict[int, Decisions], Sifted]:
        """Decode, check and sort out decisions: those of each partition, whose batches stand together."""
        if not any(map(len, batches)):
            return {}, Sifted()
        records = _Gathered(batches)
        columns = decode_columns(schema("decisions"), records.values)
        frame = columns.frame
        codes = self._application_codes(frame)
        propensity = frame["propensity"].to_numpy()
        checks = {
            "empty-id": (frame["decision_id"] == "").to_numpy(),
            "unknown-application": codes < 0,
            "propensity-out-of-range": ~((propensity > 0) & (propensity <= 1)),
            "probability-not-finite": ~_finite(frame["probabilities"]),
            "context-not-finite": ~_finite(frame["context"]),
            "context-width": frame["context"].list.len().to_numpy() != self._widths[codes],
        }
        keep, sifted = self._sift(records, columns, checks)
        rows = columns.rows[keep]
        whole = Decisions(
            ids=_strings(frame["decision_id"], keep),
            applications=codes[keep],
            deferred=frame["deferred"].to_numpy()[keep],
            raws=records.values.take(rows),
            times=records.timestamps[rows],
            offsets=records.offsets[rows],
        )
        return _apart(whole, records, rows), sifted

    def interactions(self, batches: Sequence[Records]) -> tuple[dict[int, Interactions], Sifted]:
        """Decode, check and sort out interactions: those of each partition, whose batches stand together."""
        if not any(map(len, batches)):
            return {}, Sifted()
        records = _Gathered(batches)
        columns = decode_columns(schema("interactions"), records.values)
        frame = columns.frame
        codes = self._application_codes(frame)
        given = frame["value"]
        value = (given.fill_null(0.0) if given.null_count() else given).to_numpy()
        checks = {
            "empty-id": ((frame["decision_id"] == "") | (frame["interaction_id"] == "")).to_numpy(),
            "unknown-application": codes < 0,
            "value-not-finite": ~np.isfinite(value),
        }
        keep, sifted = self._sift(records, columns, checks)
        rows = columns.rows[keep]
        whole = Interactions(
            ids=_strings(frame["interaction_id"], keep),
            decision_ids=_strings(frame["decision_id"], keep),
            applications=codes[keep],
            activations=(frame["type"] == ACTIVATION).to_numpy()[keep],
            raws=records.values.take(rows),
            times=records.timestamps[rows],
            offsets=records.offsets[rows],
        )
        return _apart(whole, records, rows), sifted

    def evaluate(
        self, application: int, raws: list[bytes], owner: Ints, decisions: list[bytes]
    ) -> tuple[Floats, Mapping[str, Floats]]:
        """The application's reward function and measures over the raw interactions of some decisions."""
        frame = decode_columns(schema("interactions"), raws).frame
        chosen = self.applications[application]
        rewards = chosen.reward(frame, owner, len(decisions))
        more = measured(chosen.settings.measures, frame, owner, len(decisions))
        return rewards.reward, {**rewards.components, **more}

    def encode(
        self, emissions: Iterable[tuple[int, Emission]]
    ) -> Iterator[tuple[int, list[bytes], list[bytes]]]:
        """Partition, keys and values of the reward records of emissions, given with their partitions."""
        alike: dict[tuple[int, tuple[str, ...]], list[tuple[int, Emission]]] = {}
        for partition, each in emissions:
            alike.setdefault((each.application, tuple(each.components)), []).append((partition, each))
        for group in alike.values():
            keys, values = self._encode(concat_emissions([each for _, each in group]))
            end = 0
            for partition, each in group:
                start, end = end, end + len(each.decisions)
                yield partition, keys[start:end], values[start:end]

    def _encode(self, emission: Emission) -> tuple[list[bytes], list[bytes]]:
        values = encode_rewards(
            emission.decisions,
            reward=emission.reward,
            components=emission.components,
            previous_reward=emission.previous_reward,
            revision=emission.revision,
            is_default=emission.is_default,
            interactions=emission.interactions,
            reward_version=self.applications[emission.application].reward_version,
            decision_time=emission.decision_time,
            decision_offset=emission.decision_offset,
            reward_time=np.where(
                emission.is_default,
                emission.decision_time + self.windows[emission.application].wait,
                emission.last_time,
            ),
        )
        return [i.encode() for i in emission.decision_ids], values

    def _application_codes(self, frame: pl.DataFrame) -> Ints:
        code = self._codes.get
        return np.array([code(name, -1) for name in frame["application"].to_list()], np.int64)

    def _sift(
        self, records: _Gathered, columns: Columns, checks: Mapping[str, NDArray[np.bool_]]
    ) -> tuple[Bools, Sifted]:
        dead: list[tuple[int, str, str]] = [(n, error.reason, str(error)) for n, error in columns.bad]
        keep = np.ones(len(columns.rows), bool)
        for reason, failed in checks.items():
            why = reason.replace("-", " ")
            dead += [(int(columns.rows[n]), reason, why) for n in np.flatnonzero(failed & keep)]
            keep &= ~failed
        keys = [i.encode() for i in columns.frame["decision_id"].to_list()]
        home = partitions_for(keys, self._partitions)
        here = home == records.partitions[columns.rows]
        moved = [
            Moved(records.topic, int(home[n]), keys[n], records.values[int(columns.rows[n])])
            for n in np.flatnonzero(keep & ~here)
        ]
        return keep & here, Sifted([_dead(records, *each) for each in sorted(dead)], moved)


def refused(refusal: Refusal, partition: int) -> Dead:
    """What a partition's join refused, as a dead letter."""
    return Dead(
        refusal.topic,
        partition,
        refusal.offset,
        refusal.key.encode(),
        refusal.raw,
        refusal.reason,
        _EXPLANATIONS[refusal.reason],
    )


_EXPLANATIONS = {
    "decision-conflict": "another decision with this decision_id came first",
    "interaction-conflict": "another interaction with this interaction_id came first",
    "application-mismatch": "the interaction names another application than its decision",
    "too-early": "appended before the decision by more than the early grace",
    "too-late": "appended after the decision's window and hold",
    "no-decision": "no decision with this decision_id was appended in time",
    "reward-not-finite": "the reward function gave no finite number",
}


def _apart(whole: T, records: _Gathered, rows: Ints) -> dict[int, T]:
    """Facts from these rows, by partition."""
    columns = {column.name: getattr(whole, column.name) for column in fields(whole)}
    return {
        partition: type(whole)(**{name: values[run] for name, values in columns.items()})
        for partition, run in records.runs(rows)
    }


def _dead(records: _Gathered, row: int, reason: str, message: str) -> Dead:
    where = int(records.partitions[row]), int(records.offsets[row])
    return Dead(records.topic, *where, records.keys[row], records.values[row], reason, message)


def _strings(column: pl.Series, keep: Bools) -> list[str]:
    chosen: list[str] = (column if keep.all() else column.filter(pl.Series(keep))).to_list()
    return chosen


def _finite(lists: pl.Series) -> Bools:
    """For each list whether all its numbers are finite."""
    if np.isfinite(lists.explode(empty_as_null=False).to_numpy()).all():
        return np.ones(len(lists), bool)
    return np.array([bool(np.isfinite(np.asarray(numbers)).all()) for numbers in lists.to_list()], bool)
