"""Two requests of Kafka's protocol in versions that aiokafka 0.14 does not speak, for exactly-once work in
groups (KIP-447): offsets that a transaction commits as a member, and offsets that no transaction is about
to change. Fields as in the protocol guide.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_TEXT = CompactString("utf-8")
_COMMITTED = (("offset", Int64), ("leader_epoch", Int32), ("metadata", _TEXT))

ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID = 22, 25, 82
UNSTABLE_OFFSET_COMMIT = 88

UNKNOWN_EPOCH = -1
"""Of the leader at a committed offset, which nobody here asks for."""


def _topics(*fields: tuple[str, Any]) -> tuple[str, CompactArray]:
    """The field of a message that has `partition` and these of each partition of each topic."""
    partition = CompactArray(("partition", Int32), *fields, ("tags", TaggedFields))
    return "topics", CompactArray(("name", _TEXT), ("partitions", partition), ("tags", TaggedFields))


class Member(NamedTuple):
    """Who a worker is in its group until the next rebalance; by default somebody outside of it."""

    group: str
    """Full name."""
    generation: int = -1
    id: str = ""
    instance: str | None = None


class TxnOffsetCommitResponse_v3(Response):  # type: ignore[misc]
    """An error code for each partition."""

    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        _topics(("error_code", Int16)),
        ("tags", TaggedFields),
    )


class TxnOffsetCommitRequest_v3(RequestStruct):  # type: ignore[misc]
    """Since version 3 a transaction tells who commits."""

    FLEXIBLE_VERSION = True
    API_KEY = 28
    API_VERSION = 3
    RESPONSE_TYPE = TxnOffsetCommitResponse_v3
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group_id", _TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
        _topics(*_COMMITTED),
        ("tags", TaggedFields),
    )


class TxnOffsetCommit(Request[TxnOffsetCommitRequest_v3]):  # type: ignore[misc]
    """Offsets of a member in a transaction."""

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        producer: tuple[int, int],
        member: Member,
        topics: Sequence[tuple[str, Sequence[tuple[int, int, str]]]],
    ) -> None:
        """`producer`: id and epoch. `topics`: names, and partition, offset and metadata of each."""
        rows: list[Any] = [
            (name, [(number, offset, UNKNOWN_EPOCH, data, {}) for number, offset, data in partitions], {})
            for name, partitions in topics
        ]
        self._fields: tuple[Any, ...] = (
            *(transactional_id, member.group, *producer),
            *(member.generation, member.id, member.instance, rows, {}),
        )

    def build(self, request_struct_class: type[TxnOffsetCommitRequest_v3]) -> TxnOffsetCommitRequest_v3:
        """For aiokafka."""
        return request_struct_class(*self._fields)


class OffsetFetchResponse_v7(Response):  # type: ignore[misc]
    """What a group has committed; offset -1 where it has not."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        _topics(*_COMMITTED, ("error_code", Int16)),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class OffsetFetchRequest_v7(RequestStruct):  # type: ignore[misc]
    """Since version 7 one may ask to be told where a transaction is about to change what is committed."""

    FLEXIBLE_VERSION = True
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", _TEXT),
        (
            "topics",
            CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class StableOffsetFetch(Request[OffsetFetchRequest_v7]):  # type: ignore[misc]
    """What a group has committed of some partitions, if no transaction is about to change it."""

    API_KEY = 9

    def __init__(self, group: str, topics: Sequence[tuple[str, Sequence[int]]]) -> None:
        self._group = group
        self._topics: list[Any] = [(name, list(partitions), {}) for name, partitions in topics]

    def build(self, request_struct_class: type[OffsetFetchRequest_v7]) -> OffsetFetchRequest_v7:
        """For aiokafka."""
        return request_struct_class(self._group, self._topics, True, {})
