"""Where a group stands, once the transactions of its former members have ended."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.structs import OffsetAndMetadata

from shared.broker.group_protocol import UNSTABLE_OFFSET_COMMIT, StableOffsetFetch
from shared.broker.settings import BrokerSettings

AGAIN_S = 0.05
"""Between looks whether a transaction has ended."""


async def stable_offsets(
    settings: BrokerSettings, group: str, partitions: Iterable[TopicPartition], wait_s: float
) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """What `group` (full name) has committed of these partitions; those without are left out.

    A transaction that is about to commit is waited for, since a member that has been replaced may have begun
    it: it ends, or Kafka ends it. Raises TimeoutError after `wait_s`, KafkaError when Kafka cannot be asked.
    """
    topics: dict[str, list[int]] = defaultdict(list)
    for tp in partitions:
        topics[tp.topic].append(tp.partition)
    request = StableOffsetFetch(group, list(topics.items()))
    admin = AIOKafkaAdminClient(**settings.aiokafka())
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(group)
        async with asyncio.timeout(wait_s):
            while True:
                found = await _fetched(admin, coordinator, request)
                if found is not None:
                    return found
                await asyncio.sleep(AGAIN_S)
    finally:
        await admin.close()


async def _fetched(
    admin: AIOKafkaAdminClient, coordinator: int, request: StableOffsetFetch
) -> dict[TopicPartition, OffsetAndMetadata] | None:
    """None where a transaction is about to commit."""
    reply = await admin._send_request(request, coordinator)
    codes = {reply.error_code}
    found = {}
    for topic, partitions, _ in reply.topics:
        for partition, offset, _, metadata, code, _ in partitions:
            codes.add(code)
            found[TopicPartition(topic, partition)] = OffsetAndMetadata(offset, metadata)
    if UNSTABLE_OFFSET_COMMIT in codes:
        return None
    for code in codes - {0}:
        raise for_code(code)("what the group has committed cannot be read")
    return {tp: at for tp, at in found.items() if at.offset >= 0}
