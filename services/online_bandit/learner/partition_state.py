"""What a learner knows of one partition: every application's policy, and how far it has read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.online_bandit.learner.handlers import Reader, Records
from services.online_bandit.learner.outlets import Outlet, PolicyState
from services.online_bandit.learner.resets import Asked
from shared.core.features.maps import feature_kind
from shared.core.features.scaling import Scaling
from shared.core.policies.learner import Learner
from shared.core.policies.rows import COLUMNS
from shared.telemetry.logging import logger
from shared.wire.codec import encode
from shared.wire.policy_replicas import Name
from shared.wire.policy_updates import Keyed, progress_record
from shared.wire.schemas import schema


@dataclass(frozen=True)
class Dead:
    """A record that cannot be learnt, byte for byte, where it lies and why."""

    key: bytes | None
    value: bytes | None
    offset: int
    reason: str
    message: str


@dataclass(frozen=True)
class Taught:
    """What a batch came to, for one application: rows learnt, of them fresh ones, sum of their rewards."""

    application: str
    policy: str
    rows: int
    fresh: int
    reward: float


@dataclass(frozen=True)
class Publication:
    """All that one transaction writes."""

    updates: tuple[tuple[bytes, bytes], ...]
    """Keys and values for policy-updates."""
    dead: tuple[Dead, ...]
    position: int
    """First offset that was not read; the group's committed offset."""
    snapshots: tuple[Name, ...]
    """Policies of which a whole snapshot is among the updates."""


@dataclass
class PartitionState:
    """Plain computing for one thread at a time; the caller writes what `publication` returns."""

    partition: int
    reader: Reader
    outlet: Outlet
    policies: Mapping[str, PolicyState]
    """By application."""
    position: int
    """First offset that was not read since the start."""
    seen: int
    """First offset that was never read: what is before it was sent to dead-letters, if it had to be."""
    dirty: bool = False
    """There is something to publish."""
    passed_over: int = 0
    """Records so far that were sound, and nothing to learn from."""
    _dead: list[Dead] = field(default_factory=list)
    _told: Keyed | None = None

    @property
    def lacking(self) -> bool:
        """Whether a policy waits for its scaling."""
        return any(needs_scaling(state.learner) for state in self.policies.values())

    def learn(self, records: Records) -> list[Taught]:
        """Take the next batch. A policy that has learnt some of it before takes only the rest."""
        lessons = self.reader.read(records)
        self.passed_over += lessons.passed_over
        taught = []
        for application, state in self.policies.items():
            if application in lessons.rows:
                rows, offsets = lessons.rows[application]
                rows = rows[int(np.searchsorted(offsets, state.next_offset)) :]
                if len(rows):
                    state.learner.learn(*(getattr(rows, name) for name in COLUMNS))
                    state.news = True
                    name = state.source.policy
                    fresh, total = int(rows.fresh.sum()), float(rows.rewards.sum())
                    taught.append(Taught(application, name, len(rows), fresh, total))
            state.next_offset = max(state.next_offset, records.next_offset)
        self._dead += [
            Dead(records.keys[index], records.values[index], offset, reason, message)
            for index, reason, message in lessons.dead
            if (offset := int(records.offsets[index])) >= self.seen
        ]
        self.position = records.next_offset
        self.seen = max(self.seen, records.next_offset)
        self.dirty = True
        return taught

    def adopt(self, scalings: Mapping[Name, Scaling]) -> None:
        """Take what scalings the policies still lack."""
        for application, state in self.policies.items():
            scaling = scalings.get((application, state.source.policy))
            if scaling is not None and needs_scaling(state.learner):
                state.learner.set_scaling(scaling)
                state.news = self.dirty = True

    def reset(self, asked: Asked) -> None:
        """Do the resets that were not done here yet."""
        for (application, action), asked_ms in asked.items():
            state = self.policies.get(application)
            if state is not None and state.learner.reset(action, asked_ms):
                # Rows alone cannot tell of it: a whole snapshot comes next.
                state.incomplete = state.news = self.dirty = True
                since = state.learner.resets[-1].since_ms
                where = {"application": application, "policy": state.source.policy, "action": action}
                logger(__name__).info("arm reset", **where, partition=self.partition, since=since)

    def publication(self, now_s: float) -> Publication | None:
        """Everything there is to tell at `now_s` (a monotonic clock), None for nothing.

        What has to wait keeps the state dirty.
        """
        keyed, snapshots = [], []
        for application, state in self.policies.items():
            updates = list(self.outlet.updates(state, now_s))
            keyed += updates
            if any(record["kind"] == "snapshot" for _, record in updates):
                snapshots.append((application, state.source.policy))
        dead, self._dead = tuple(self._dead), []
        self.dirty = any(state.news for state in self.policies.values())
        progress = self._progress()
        if progress == self._told and not keyed and not dead:
            return None
        self._told = progress
        keyed.append(progress)
        updates_schema = schema("policy-updates")
        encoded = tuple((key, encode(updates_schema, record)) for key, record in keyed)
        return Publication(encoded, dead, self.position, tuple(snapshots))

    def _progress(self) -> Keyed:
        learnt = {(a, state.source.policy): state.learnt_offset for a, state in self.policies.items()}
        return progress_record(self.partition, sequence=self.position, next_offset=self.seen, learnt=learnt)


def needs_scaling(learner: Learner) -> bool:
    """Whether a learner folds nothing until all partitions agree on a scaling."""
    kind = feature_kind(learner.configuration, learner.action_width)
    return learner.scaling is None and kind != "constant"
