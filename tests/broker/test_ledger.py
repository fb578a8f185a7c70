"""Members of groups that lead: what they are given, they know of."""

from kafka import KafkaConsumer

from shared.broker import ledger
from shared.broker.settings import BrokerSettings
from tests.broker.test_batches import write
from tests.waiting import wait_for


async def test_a_member_that_joins_again_during_short_polls_is_given_its_partitions(
    topics: BrokerSettings,
) -> None:
    topic = topics.topic("retrain-triggers")
    await write(topics, topic, [b"asked"], 0)
    consumer = KafkaConsumer(
        **topics.kafka_python(), group_id=topics.group("g"), auto_offset_reset="earliest"
    )
    try:
        ledger.join(consumer, [topic], changes := ledger.Changes())
        wait_for(lambda: ledger.poll(consumer, 100))
        consumer.seek_to_beginning()
        changes.changed()
        consumer._coordinator._assignment_snapshot = {topic: {0, 1}}  # as if the topic had changed since
        found = wait_for(lambda: ledger.poll(consumer, 0))
        assert [record.value for records in found.values() for record in records] == [b"asked"]
        assert changes.changed()
    finally:
        consumer.close()
