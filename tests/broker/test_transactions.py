"""A transaction is seen whole or not at all; only who holds an id and a place in its group can write."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from shared.broker.group_protocol import Member
from shared.broker.limits import MAX_RECORD_BYTES, RecordTooLarge
from shared.broker.settings import BrokerSettings
from shared.broker.stable_offsets import stable_offsets
from shared.broker.transactions import Fenced, TransactionalWriter
from tests.broker.reading import read_all


class Refusal(Exception):
    """What a caller's block raises."""


@pytest.fixture
async def writer(topics: BrokerSettings) -> AsyncIterator[TransactionalWriter]:
    started = TransactionalWriter(topics, topics.transactional_id("writer-0"))
    await started.start()
    yield started
    await started.stop()


async def committed(settings: BrokerSettings, group: str, tp: TopicPartition) -> OffsetAndMetadata | None:
    consumer = AIOKafkaConsumer(**settings.aiokafka(), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        answer = await consumer._coordinator.fetch_committed_offsets([tp])
        found: OffsetAndMetadata | None = answer.get(tp)
        return found
    finally:
        await consumer.stop()


async def test_records_and_offsets_are_written_together(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    rewards, source = topics.topic("rewards"), TopicPartition(topics.topic("decisions"), 2)
    async with writer.transaction() as transaction:
        await transaction.send(rewards, 1, [b"a", b"b"], [b"1", b"2"])
        await transaction.send(
            topics.topic("dead-letters"), 0, [None], [b"x"], headers=[[("why", b"broken")]]
        )
        await transaction.offsets(
            Member(topics.group("joiners")), {source: OffsetAndMetadata(17, "low watermark")}
        )
    records = await read_all(topics, rewards)
    assert [(r.partition, r.key, r.value) for r in records] == [(1, b"a", b"1"), (1, b"b", b"2")]
    (dead,) = await read_all(topics, topics.topic("dead-letters"))
    assert (dead.key, dead.value, dead.headers) == (None, b"x", (("why", b"broken"),))
    assert await committed(topics, topics.group("joiners"), source) == OffsetAndMetadata(17, "low watermark")


async def test_a_block_that_raises_leaves_nothing_and_the_writer_usable(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    rewards, source = topics.topic("rewards"), TopicPartition(topics.topic("decisions"), 0)

    async def broken_off() -> None:
        async with writer.transaction() as transaction:
            await transaction.send(rewards, 0, [b"a"], [b"undone"])
            await transaction.offsets(Member(topics.group("joiners")), {source: OffsetAndMetadata(5, "")})
            raise Refusal

    with pytest.raises(Refusal):
        await broken_off()
    async with writer.transaction() as transaction:
        await transaction.send(rewards, 0, [b"a"], [b"done"])
    assert [record.value for record in await read_all(topics, rewards)] == [b"done"]
    # The undone record did reach the log, and read_committed is what hides it.
    uncommitted = await read_all(topics, rewards, isolation="read_uncommitted")
    assert [record.value for record in uncommitted] in ([b"undone", b"done"], [b"done"])
    assert (
        await committed(topics, topics.group("joiners"), source) or OffsetAndMetadata(-1, "")
    ).offset == -1


async def test_more_than_fits_one_batch_keeps_its_order(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    values = [str(number).encode().ljust(200_000) for number in range(20)]
    async with writer.transaction() as transaction:
        await transaction.send(topics.topic("rewards"), 3, [b"k"] * 20, values)
    assert [record.value for record in await read_all(topics, topics.topic("rewards"))] == values


async def test_a_record_too_large_leaves_nothing(writer: TransactionalWriter, topics: BrokerSettings) -> None:
    with pytest.raises(RecordTooLarge):
        async with writer.transaction() as transaction:
            await transaction.send(
                topics.topic("rewards"), 0, [b"k"] * 2, [bytes(500_000), bytes(MAX_RECORD_BYTES)]
            )
    assert await read_all(topics, topics.topic("rewards")) == []


async def test_the_former_owner_of_an_id_is_fenced(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    rewards = topics.topic("rewards")
    async with writer.transaction() as transaction:
        await transaction.send(rewards, 0, [b"k"], [b"former"])
    latter = TransactionalWriter(topics, topics.transactional_id("writer-0"))
    await latter.start()
    try:
        with pytest.raises(Fenced):
            async with writer.transaction() as transaction:
                await transaction.send(rewards, 0, [b"k"], [b"zombie"])
        async with latter.transaction() as transaction:
            await transaction.send(rewards, 0, [b"k"], [b"latter"])
    finally:
        await latter.stop()
    assert [record.value for record in await read_all(topics, rewards)] == [b"former", b"latter"]


async def test_taking_over_ends_a_transaction_left_open(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    rewards = topics.topic("rewards")
    latter = TransactionalWriter(topics, topics.transactional_id("writer-0"))

    async def left_open() -> None:
        async with writer.transaction() as transaction:
            await transaction.send(rewards, 0, [b"k"], [b"left open"])
            await latter.start()

    try:
        with pytest.raises(Fenced):
            await left_open()
        async with latter.transaction() as transaction:
            await transaction.send(rewards, 0, [b"k"], [b"latter"])
    finally:
        await latter.stop()
    assert [record.value for record in await read_all(topics, rewards)] == [b"latter"]


async def joined(settings: BrokerSettings, group: str) -> AIOKafkaConsumer:
    """A consumer that is a member of the group."""
    consumer = AIOKafkaConsumer(
        settings.topic("decisions"), **settings.aiokafka(), group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    return consumer


def member_of(consumer: AIOKafkaConsumer) -> Member:
    coordinator = consumer._coordinator
    return Member(coordinator.group_id, coordinator.generation, coordinator.member_id)


async def test_a_member_whose_place_another_has_writes_nothing(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    rewards, group = topics.topic("rewards"), topics.group("joiners")
    source = TopicPartition(topics.topic("decisions"), 1)

    async def write(member: Member, value: bytes, offset: int) -> None:
        async with writer.transaction() as transaction:
            await transaction.send(rewards, 1, [b"k"], [value])
            await transaction.offsets(member, {source: OffsetAndMetadata(offset, "")})

    former = await joined(topics, group)
    replaced = member_of(former)
    await write(replaced, b"former", 5)
    await former.stop()
    latter = await joined(topics, group)
    try:
        with pytest.raises(Fenced):
            await write(replaced, b"zombie", 9)
        await writer.stop()
        await writer.start()
        await write(member_of(latter), b"latter", 7)
    finally:
        await latter.stop()
    assert [record.value for record in await read_all(topics, rewards)] == [b"former", b"latter"]
    assert (await stable_offsets(topics, group, [source], 10))[source].offset == 7


async def test_offsets_that_a_transaction_is_about_to_commit_are_waited_for(
    writer: TransactionalWriter, topics: BrokerSettings
) -> None:
    group, source = topics.group("joiners"), TopicPartition(topics.topic("decisions"), 3)
    assert not await stable_offsets(topics, group, [source], 10)
    async with writer.transaction() as transaction:
        await transaction.offsets(Member(group), {source: OffsetAndMetadata(3, "where")})
        with pytest.raises(TimeoutError):
            await stable_offsets(topics, group, [source], 0.3)
    assert await stable_offsets(topics, group, [source], 10) == {source: OffsetAndMetadata(3, "where")}
