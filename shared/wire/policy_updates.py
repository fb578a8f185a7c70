"""Records of policy-updates: what a learner of one partition of the rewards publishes, and under which key.

The topic is compacted, and each kind keeps what a reader needs. A snapshot's chunks have one key each, so
the newest complete snapshot stays. The last DELTA_SLOTS deltas have keys of their own, so a learner that
snapshots at least once in DELTA_SLOTS deltas never leaves a gap behind its newest snapshot. The scaling has
one key for all partitions, and so has each partition's progress for all applications.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from shared.core.features.scaling import Scaling
from shared.core.policies.learner import Learner

Kind = Literal["snapshot", "delta", "scaling", "progress"]
#: A record's key and its fields, as schemas/policy-updates.avsc names them.
Keyed = tuple[bytes, dict[str, Any]]

CHUNK_BYTES = 700_000
"""Payload of one record: with all that frames it, well below Kafka's 1 MiB."""
DELTA_SLOTS = 64
"""How many deltas compaction keeps; snapshot before as many deltas have followed the last snapshot."""


@dataclass(frozen=True)
class Source:
    """Whose statistics: one policy of one application, learnt from one partition of the rewards."""

    application: str
    policy: str
    partition: int

    def key(self, kind: Kind, slot: int) -> bytes:
        """The record's key; `slot` is the chunk of a snapshot or the sequence of a delta."""
        slot = slot % DELTA_SLOTS if kind == "delta" else slot
        return f"{self.application}/{self.policy}/{self.partition}/{kind}/{slot}".encode()


def snapshot_records(source: Source, learner: Learner, *, sequence: int, next_offset: int) -> list[Keyed]:
    """The learner's whole state, having learnt everything before `next_offset`, in chunks.

    Write all of them in one transaction: a snapshot counts once its last chunk is there.
    """
    payload = learner.to_bytes()
    chunks = [payload[start : start + CHUNK_BYTES] for start in range(0, len(payload), CHUNK_BYTES)]
    return [
        (
            source.key("snapshot", index),
            _record(
                source,
                "snapshot",
                sequence,
                chunk,
                chunk=index,
                chunks=len(chunks),
                next_offset=next_offset,
                reference_time=learner.folded.latest_ms,
                count=learner.learnt,
                configuration=learner.configuration.to_json() if index == 0 else "",
            ),
        )
        for index, chunk in enumerate(chunks)
    ]


def delta_record(
    source: Source, delta: bytes, *, sequence: int, first_offset: int, next_offset: int, count: int
) -> Keyed:
    """What `Learner.drain_delta` gave: the rows learnt from `first_offset` up to `next_offset`.

    `count`: rows learnt in all, these included.
    """
    return source.key("delta", sequence), _record(
        source, "delta", sequence, delta, first_offset=first_offset, next_offset=next_offset, count=count
    )


def scaling_record(source: Source, scaling: Scaling, *, sequence: int) -> Keyed:
    """The scaling that all partitions of the policy use from now on; `source` proposed it.

    Only the owner of partition 0 may propose: a second scaling of the same policy is an error.
    """
    key = f"{source.application}/{source.policy}/scaling".encode()
    return key, _record(source, "scaling", sequence, orjson.dumps(scaling.to_json()))


def progress_record(
    partition: int, *, sequence: int, next_offset: int, learnt: Mapping[tuple[str, str], int]
) -> Keyed:
    """How far a partition has been read: no record before `next_offset` is new to its learner.

    `learnt`: (application, policy) → the first offset that this policy's statistics do not have, for every
    policy that the learner keeps; write it after what it tells of. A policy that is not named has learnt
    nothing by it: one that starts later reads the log from its beginning.
    """
    source = Source("", "", partition)
    key = f"progress/{partition}".encode()
    payload = orjson.dumps([[*name, offset] for name, offset in learnt.items()])
    return key, _record(source, "progress", sequence, payload, next_offset=next_offset)


def read_progress(record: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """`learnt` of a record of that kind. Raises ValueError."""
    return {(application, policy): offset for application, policy, offset in orjson.loads(record["payload"])}


def read_scaling(record: Mapping[str, Any]) -> Scaling:
    """The scaling in a record of that kind. Raises ValueError."""
    return Scaling.from_json(orjson.loads(record["payload"]))


def _record(source: Source, kind: Kind, sequence: int, payload: bytes, **fields: Any) -> dict[str, Any]:
    absent = {"chunk": 0, "chunks": 1, "first_offset": 0, "next_offset": 0}
    return {
        "application": source.application,
        "policy": source.policy,
        "partition": source.partition,
        "kind": kind,
        "sequence": sequence,
        **absent,
        "reference_time": 0,
        "count": 0,
        "configuration": "",
        **fields,
        "payload": payload,
    }
