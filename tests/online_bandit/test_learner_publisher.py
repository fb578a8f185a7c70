"""The learner's publisher: one transaction for all partitions with news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.online_bandit.learner.partition import Partition
from services.online_bandit.learner.partition_state import Publication
from services.online_bandit.learner.publishing import Publisher
from services.online_bandit.learner.telemetry import Telemetry
from shared.broker.group_protocol import Member
from shared.broker.group_writer import GroupWriter, Send, Writes
from shared.broker.settings import BrokerSettings
from shared.broker.transactions import Fenced
from shared.telemetry.metrics import Metrics
from tests.broker.reading import read_all
from tests.waiting import until

LONG_S = 60.0


@dataclass
class Learning:
    """Stands for a partition: what it has to tell, each time that it is asked."""

    number: int
    topics: BrokerSettings
    told: list[bytes | None]
    asked: int = 0
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        self.state = self

    @property
    def dirty(self) -> bool:
        return self.asked < len(self.told)

    async def publication(self, now_s: float) -> Publication | None:
        value = self.told[self.asked]
        self.asked += 1
        return None if value is None else Publication(((b"key", value),), (), self.asked, ())

    def writes(self, publication: Publication) -> Writes:
        ((key, value),) = publication.updates
        source = TopicPartition(self.topics.topic("rewards"), self.number)
        sends = [Send(self.topics.topic("policy-updates"), 0, [key], [value])]
        return Writes(sends, {source: OffsetAndMetadata(publication.position, "")})


def publisher(partitions: list[Learning], writer: GroupWriter, pause_s: float) -> Publisher:
    return Publisher(cast("list[Partition]", partitions), writer, Telemetry(Metrics()), pause_s)


@pytest.fixture
def member(topics: BrokerSettings) -> Member:
    return Member(topics.group("learners"))


@pytest.fixture
async def writer(topics: BrokerSettings, member: Member) -> AsyncIterator[GroupWriter]:
    started = GroupWriter(topics, "learners", "one", member)
    await started.start()
    yield started
    await started.stop()


async def written(topics: BrokerSettings) -> list[tuple[int, bytes | None]]:
    return [(r.offset, r.value) for r in await read_all(topics, topics.topic("policy-updates"), 1)]


async def test_all_news_of_a_moment_are_one_transaction_and_what_waits_is_asked_again(
    topics: BrokerSettings, writer: GroupWriter
) -> None:
    stories: list[list[bytes | None]] = [[b"a", b"c"], [b"b"], [None, b"d"]]
    partitions = [Learning(n, topics, told) for n, told in enumerate(stories)]
    publishing = publisher(partitions, writer, 0.01)
    running = asyncio.create_task(publishing.run())
    publishing.wake()  # once: what is left it comes back to by itself

    async def all_asked() -> bool:
        return not any(each.dirty for each in partitions)

    await until(all_asked, 30)
    publishing.stop()
    await running
    # A transaction's end takes an offset: there is none between a and b.
    assert await written(topics) == [(0, b"a"), (1, b"b"), (3, b"c"), (4, b"d")]


async def test_stopping_publishes_what_is_left_at_once(topics: BrokerSettings, writer: GroupWriter) -> None:
    partition = Learning(0, topics, [b"a", b"b"])
    publishing = publisher([partition], writer, LONG_S)
    running = asyncio.create_task(publishing.run())
    publishing.wake()

    async def first() -> bool:
        return len(await written(topics)) == 1

    await until(first, 30)
    publishing.stop()
    await asyncio.wait_for(running, LONG_S / 2)
    assert [value for _, value in await written(topics)] == [b"a", b"b"]


async def test_whoever_is_fenced_raises_it(
    topics: BrokerSettings, writer: GroupWriter, member: Member
) -> None:
    heir = GroupWriter(topics, "learners", "one", member)
    await heir.start()
    try:
        publishing = publisher([Learning(0, topics, [b"zombie"])], writer, LONG_S)
        publishing.stop()
        with pytest.raises(Fenced):
            await publishing.run()
        await heir.write([Learning(0, topics, []).writes(Publication(((b"key", b"heir"),), (), 1, ()))])
    finally:
        await heir.stop()
    assert [value for _, value in await written(topics)] == [b"heir"]
