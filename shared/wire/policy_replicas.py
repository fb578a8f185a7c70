"""Learners rebuilt from policy-updates: by the decision API, by a learner that recovers, by an audit.

Feed every record of the topic in log order, from its beginning. Compaction may have removed any record whose
key was written again later, so a replica can be behind for a while, until a later snapshot arrives.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.core.features.scaling import Scaling
from shared.core.policies.learner import DeltaGap, Learner
from shared.wire.policy_updates import read_progress, read_scaling

#: (application, policy)
Name = tuple[str, str]


@dataclass
class PartitionReplica:
    """One partition's learner, as far as the log has been read."""

    learner: Learner
    next_offset: int = 0
    """First offset of the rewards that is not learnt."""
    sequence: int = 0
    """The highest sequence read; a writer goes on above it."""
    behind: bool = False
    """Updates are missing: what is learnt is right, but older than `sequence` says."""
    _chunks: dict[int, bytes] = field(default_factory=dict)
    _chunks_of: int = -1

    def reach(self, next_offset: int) -> None:
        """All before `next_offset` is learnt."""
        self.next_offset = max(self.next_offset, next_offset)

    def delta(self, record: Mapping[str, Any]) -> bool:
        """Learn the rows that are new; False if rows before them are missing."""
        try:
            self.learner.apply_delta(record["payload"])
        except DeltaGap:
            self.behind = True
            return False
        self.learner.drain_delta()
        self.behind = False
        self.reach(record["next_offset"])
        return True

    def chunk(self, record: Mapping[str, Any]) -> bytes | None:
        """Add a part of a snapshot; all of its bytes if it is the last part and tells something new."""
        if record["count"] <= self.learner.learnt:
            self.behind = False
            self.reach(record["next_offset"])
            return None
        if record["sequence"] != self._chunks_of:
            self._chunks, self._chunks_of = {}, record["sequence"]
        self._chunks[record["chunk"]] = record["payload"]
        if len(self._chunks) < record["chunks"]:
            self.behind = True
            return None
        payload = b"".join(self._chunks[index] for index in range(record["chunks"]))
        self._chunks = {}
        return payload

    def restore(self, learner: Learner, next_offset: int) -> None:
        """Go on from a snapshot."""
        self.learner, self.behind = learner, False
        self.reach(next_offset)


class Replica:
    """One policy of one application: a learner for each partition, and the scaling that they share."""

    def __init__(self, new_learner: Callable[[], Learner], *, track_deltas: bool = False) -> None:
        self.partitions: dict[int, PartitionReplica] = {}
        self.scaling: Scaling | None = None
        self._new_learner, self._track_deltas = new_learner, track_deltas

    @property
    def learners(self) -> list[Learner]:
        """The partitions' learners, in order."""
        return [replica.learner for _, replica in sorted(self.partitions.items())]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Per partition of the rewards the first offset that is not learnt; 0 where nothing is known."""
        known = self.partitions
        return tuple(known[p].next_offset if p in known else 0 for p in range(max(known, default=-1) + 1))

    def partition(self, number: int) -> PartitionReplica:
        """The partition's replica, an untrained one if the log has none."""
        if number not in self.partitions:
            learner = self._new_learner()
            if self.scaling is not None:
                learner.set_scaling(self.scaling)
            self.partitions[number] = PartitionReplica(learner)
        return self.partitions[number]

    def apply(self, record: Mapping[str, Any]) -> bool:
        """Take one record of this policy; True if statistics changed. Raises ValueError for a broken one."""
        if record["kind"] == "scaling":
            return self.set_scaling(read_scaling(record))
        replica = self.partition(record["partition"])
        replica.sequence = max(replica.sequence, record["sequence"])
        if record["kind"] == "delta":
            return replica.delta(record)
        if record["kind"] != "snapshot":
            raise ValueError(f"unknown kind of policy update: {record['kind']!r}")
        payload = replica.chunk(record)
        if payload is None:
            return False
        restored = Learner.from_bytes(payload, track_deltas=self._track_deltas)
        self._check_shape(restored, replica.learner)
        if restored.scaling is not None:
            self.set_scaling(restored.scaling)
        elif self.scaling is not None:
            restored.set_scaling(self.scaling)
        replica.restore(restored, record["next_offset"])
        return True

    def set_scaling(self, scaling: Scaling) -> bool:
        """Freeze the scaling of all partitions; False if it was known. Raises ValueError for a second one."""
        if self.scaling is not None and self.scaling != scaling:
            raise ValueError("another scaling of this policy was read before")
        if self.scaling is not None:
            return False
        self.scaling = scaling
        for learner in self.learners:
            learner.set_scaling(scaling)
        return True

    @staticmethod
    def _check_shape(restored: Learner, wanted: Learner) -> None:
        def shape(learner: Learner) -> tuple[object, ...]:
            return learner.width, learner.action_width, learner.actions, learner.configuration

        if shape(restored) != shape(wanted):
            raise ValueError(f"a snapshot of {shape(restored)}; this policy is {shape(wanted)}")


class Replicas:
    """Replicas of the policies that are wanted; updates of all others are passed over unread."""

    def __init__(
        self,
        new_learners: Mapping[Name, Callable[[], Learner]],
        *,
        partitions: Container[int] | None = None,
        track_deltas: bool = False,
    ) -> None:
        """`new_learners`: for each wanted (application, policy), what makes an untrained learner.

        `partitions`: those wanted, None for all. `track_deltas`: for a writer that goes on learning; then
        `new_learners` must make learners that track, and nothing read here is in their next delta.
        """
        self.policies = {
            name: Replica(new_learner, track_deltas=track_deltas)
            for name, new_learner in new_learners.items()
        }
        self._wanted = partitions

    def apply(self, record: Mapping[str, Any]) -> set[Name]:
        """Take the next record of the log; which policies' statistics or offsets it changed.

        Raises ValueError for a record that no learner writes.
        """
        kind, partition = record["kind"], record["partition"]
        if kind != "scaling" and self._wanted is not None and partition not in self._wanted:
            return set()
        if kind == "progress":
            return self._progress(partition, read_progress(record))
        name = (record["application"], record["policy"])
        replica = self.policies.get(name)
        if replica is None:
            return set()
        before = replica.offsets
        changed = replica.apply(record)
        return {name} if changed or replica.offsets != before else set()

    def _progress(self, partition: int, learnt: Mapping[Name, int]) -> set[Name]:
        moved = set()
        for name in learnt.keys() & self.policies.keys():
            replica = self.policies[name].partition(partition)
            if not replica.behind and replica.next_offset < learnt[name]:
                replica.reach(learnt[name])
                moved.add(name)
        return moved
