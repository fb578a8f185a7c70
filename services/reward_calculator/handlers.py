"""Records to the join's columns and emissions to records: pure functions over batches."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.applications.contract import Application
from shared.applications.measures import measured
from shared.broker.partitioner import partitions_for
from shared.core.join import Decisions, Emission, Interactions, Refusal, Window
from shared.core.join.facts import Bools, Floats, Ints
from shared.wire.columns import Columns, decode_columns
from shared.wire.rewards import encode_rewards
from shared.wire.schemas import schema
from shared.wire.slices import Slices

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
    """What of a batch does not reach the join."""

    dead: list[Dead] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)


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

    def decisions(self, records: Records) -> tuple[Decisions | None, Sifted]:
        """Decode, check and sort out decisions."""
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
        if not keep.any():
            return None, sifted
        rows = columns.rows[keep]
        return Decisions(
            ids=_strings(frame["decision_id"], keep),
            applications=codes[keep],
            deferred=frame["deferred"].to_numpy()[keep],
            raws=records.values.take(rows),
            times=records.timestamps[rows],
            offsets=records.offsets[rows],
        ), sifted

    def interactions(self, records: Records) -> tuple[Interactions | None, Sifted]:
        """Decode, check and sort out interactions."""
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
        if not keep.any():
            return None, sifted
        rows = columns.rows[keep]
        return Interactions(
            ids=_strings(frame["interaction_id"], keep),
            decision_ids=_strings(frame["decision_id"], keep),
            applications=codes[keep],
            activations=(frame["type"] == ACTIVATION).to_numpy()[keep],
            raws=records.values.take(rows),
            times=records.timestamps[rows],
            offsets=records.offsets[rows],
        ), sifted

    def evaluate(
        self, application: int, raws: list[bytes], owner: Ints, decisions: list[bytes]
    ) -> tuple[Floats, Mapping[str, Floats]]:
        """The application's reward function and measures over the raw interactions of some decisions."""
        frame = decode_columns(schema("interactions"), raws).frame
        chosen = self.applications[application]
        rewards = chosen.reward(frame, owner, len(decisions))
        more = measured(chosen.settings.measures, frame, owner, len(decisions))
        return rewards.reward, {**rewards.components, **more}

    def encode(self, emission: Emission) -> tuple[list[bytes], list[bytes]]:
        """Keys and values of the reward records of an emission."""
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
        self, records: Records, columns: Columns, checks: Mapping[str, NDArray[np.bool_]]
    ) -> tuple[Bools, Sifted]:
        dead: list[tuple[int, str, str]] = [(n, error.reason, str(error)) for n, error in columns.bad]
        keep = np.ones(len(columns.rows), bool)
        for reason, failed in checks.items():
            why = reason.replace("-", " ")
            dead += [(int(columns.rows[n]), reason, why) for n in np.flatnonzero(failed & keep)]
            keep &= ~failed
        keys = [i.encode() for i in columns.frame["decision_id"].to_list()]
        home = partitions_for(keys, self._partitions)
        astray = np.flatnonzero(keep & (home != records.partition))
        return keep & (home == records.partition), Sifted(
            [_dead(records, *each) for each in sorted(dead)],
            [
                Moved(records.topic, int(home[n]), keys[n], records.values[int(columns.rows[n])])
                for n in astray
            ],
        )


def refused(refusal: Refusal) -> Dead:
    """What the join refused, as a dead letter."""
    return Dead(
        refusal.topic,
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


def _dead(records: Records, row: int, reason: str, message: str) -> Dead:
    return Dead(
        records.topic, int(records.offsets[row]), records.keys[row], records.values[row], reason, message
    )


def _strings(column: pl.Series, keep: Bools) -> list[str]:
    chosen: list[str] = (column if keep.all() else column.filter(pl.Series(keep))).to_list()
    return chosen


def _finite(lists: pl.Series) -> Bools:
    """For each list whether all its numbers are finite."""
    if np.isfinite(lists.explode(empty_as_null=False).to_numpy()).all():
        return np.ones(len(lists), bool)
    return np.array([bool(np.isfinite(np.asarray(numbers)).all()) for numbers in lists.to_list()], bool)
