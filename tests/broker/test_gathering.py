"""Transactions that several partitions share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from shared.broker.gathering import GatheringWriter, Send, Writes
from shared.broker.group_protocol import Member
from shared.broker.settings import BrokerSettings
from shared.broker.stable_offsets import stable_offsets
from shared.broker.transactions import Fenced
from tests.broker.reading import read_all

PACE_S = 0.02


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
async def writer(topics: BrokerSettings, member: Member) -> AsyncIterator[GatheringWriter]:
    started = GatheringWriter(topics, "joiners", "one", PACE_S)
    await started.start(member)
    yield started
    await started.stop()


async def test_what_comes_while_a_transaction_is_under_way_shares_the_next(
    writer: GatheringWriter, topics: BrokerSettings, member: Member
) -> None:
    first = asyncio.create_task(writer.write(writes(topics, 0, b"a")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the first transaction has begun, with the first writes alone
    others = [writes(topics, 0, b"b"), writes(topics, 1, b"c", b"d"), writes(topics, 0, b"e")]
    await asyncio.gather(first, *map(writer.write, others))
    found = [(r.partition, r.offset, r.value) for r in await read_all(topics, topics.topic("rewards"))]
    # A transaction's end takes an offset of each partition: there is none between b and e.
    assert found == [(0, 0, b"a"), (0, 2, b"b"), (0, 3, b"e"), (1, 0, b"c"), (1, 1, b"d")]
    sources = [TopicPartition(topics.topic("decisions"), number) for number in range(3)]
    offsets = await stable_offsets(topics, member.group, sources, 10)
    assert {tp.partition: at.offset for tp, at in offsets.items()} == {0: 1, 1: 2}


async def test_all_whose_transaction_failed_hear_of_it(
    writer: GatheringWriter, topics: BrokerSettings, member: Member
) -> None:
    await writer.write(writes(topics, 0, b"former"))
    heir = GatheringWriter(topics, "joiners", "one", PACE_S)
    await heir.start(member)
    try:
        both = [writer.write(writes(topics, number, b"zombie")) for number in (0, 1)]
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Fenced, Fenced]
        with pytest.raises(Fenced):
            await writer.write(writes(topics, 2, b"later"))
        await heir.write(writes(topics, 0, b"latter"))
    finally:
        await heir.stop()
    values = [record.value for record in await read_all(topics, topics.topic("rewards"))]
    assert values == [b"former", b"latter"]


async def test_stopping_breaks_off_what_is_under_way(
    writer: GatheringWriter, topics: BrokerSettings, member: Member
) -> None:
    unheard = asyncio.create_task(writer.write(writes(topics, 0, b"undone")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await writer.stop()
    unheard.cancel()
    await asyncio.gather(unheard, return_exceptions=True)
    await writer.stop()
    again = GatheringWriter(topics, "joiners", "one", PACE_S)
    await again.start(member)
    try:
        await again.write(writes(topics, 0, b"done"))
    finally:
        await again.stop()
    assert [record.value for record in await read_all(topics, topics.topic("rewards"))] == [b"done"]
