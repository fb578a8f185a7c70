"""Transactions of a member of a group: all partitions' writes, and how far their inputs are read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from shared.broker.group_protocol import Member
from shared.broker.group_writer import GroupWriter, Send, Writes
from shared.broker.limits import RecordTooLarge
from shared.broker.settings import BrokerSettings
from shared.broker.stable_offsets import stable_offsets
from shared.broker.transactions import Fenced
from tests.broker.reading import read_all


def writes(topics: BrokerSettings, number: int, *values: bytes) -> Writes:
    """Values for one partition of the rewards, and as many records read of the same of the decisions."""
    keys = [b"k"] * len(values)
    offset = OffsetAndMetadata(len(values), "")
    return Writes(
        [Send(topics.topic("rewards"), number, keys, values)],
        {TopicPartition(topics.topic("decisions"), number): offset},
    )


@pytest.fixture
def member(topics: BrokerSettings) -> Member:
    return Member(topics.group("joiners"))


@pytest.fixture
async def writer(topics: BrokerSettings, member: Member) -> AsyncIterator[GroupWriter]:
    started = GroupWriter(topics, "joiners", "one", member)
    await started.start()
    yield started
    await started.stop()


async def test_all_parts_share_a_transaction_with_their_offsets(
    writer: GroupWriter, topics: BrokerSettings, member: Member
) -> None:
    await writer.write([writes(topics, 0, b"a")])
    await writer.write([writes(topics, 0, b"b"), writes(topics, 1, b"c", b"d"), writes(topics, 0, b"e")])
    found = [(r.partition, r.offset, r.value) for r in await read_all(topics, topics.topic("rewards"))]
    # A transaction's end takes an offset of each partition: there is none between b and e.
    assert found == [(0, 0, b"a"), (0, 2, b"b"), (0, 3, b"e"), (1, 0, b"c"), (1, 1, b"d")]
    sources = [TopicPartition(topics.topic("decisions"), number) for number in range(3)]
    offsets = await stable_offsets(topics, member.group, sources, 10)
    assert {tp.partition: at.offset for tp, at in offsets.items()} == {0: 1, 1: 2}


async def test_of_a_transaction_that_fails_nothing_is_written(
    writer: GroupWriter, topics: BrokerSettings, member: Member
) -> None:
    with pytest.raises(RecordTooLarge):
        await writer.write([writes(topics, 0, b"a"), writes(topics, 1, bytes(20 << 20))])
    await writer.write([writes(topics, 1, b"b")])
    assert [r.value for r in await read_all(topics, topics.topic("rewards"))] == [b"b"]
    sources = [TopicPartition(topics.topic("decisions"), number) for number in range(2)]
    offsets = await stable_offsets(topics, member.group, sources, 10)
    assert {tp.partition: at.offset for tp, at in offsets.items()} == {1: 1}


async def test_whoever_starts_under_the_same_name_fences_the_one_before(
    writer: GroupWriter, topics: BrokerSettings, member: Member
) -> None:
    await writer.write([writes(topics, 0, b"former")])
    heir = GroupWriter(topics, "joiners", "one", member)
    await heir.start()
    try:
        with pytest.raises(Fenced):
            await writer.write([writes(topics, 0, b"zombie"), writes(topics, 1, b"zombie")])
        await heir.write([writes(topics, 0, b"latter")])
    finally:
        await heir.stop()
    assert [r.value for r in await read_all(topics, topics.topic("rewards"))] == [b"former", b"latter"]
