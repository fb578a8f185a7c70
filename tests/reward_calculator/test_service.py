"""The reward calculator as a process on a real Kafka: rewards as the oracle's, once each."""

import asyncio
import signal
import uuid

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.broker.partitioner import partition_for
from shared.broker.settings import BrokerSettings
from shared.wire.codec import decode, encode
from shared.wire.schemas import schema
from tests.processes import ServiceProcess
from tests.waiting import until, until_measured

APPLICATION = """
application: shop
features: [{name: hour, type: numeric}]
actions: [a, b]
reward: {default: -1.0, wait: "3s", early_grace: "1s", hold: "60s", emission: on_interaction}
policy: {kind: epsilon_greedy, map: linear}
"""


def decision(decision_id, **changes):
    return {
        "decision_id": decision_id,
        "application": "shop",
        "subject_id": "s",
        "policy": "p",
        "policy_version": 0,
        "policy_offsets": [],
        "action": "a",
        "propensity": 0.5,
        "actions": [],
        "probabilities": [0.5, 0.5],
        "context": [1.0],
        "action_features": [],
        "attributes": [],
        "deferred": False,
        "arm": None,
        "share": None,
        "mixture_propensity": None,
        "decided_at": 1_700_000_000_000,
    } | changes


def interaction(decision_id, interaction_id="i", value=1.0, **changes):
    return {
        "interaction_id": interaction_id,
        "decision_id": decision_id,
        "application": "shop",
        "type": "click",
        "value": value,
        "attributes": [],
        "occurred_at": None,
    } | changes


class Calculator(ServiceProcess):
    """The service as its user runs it, against a prefix of its own."""

    def __init__(self, names: BrokerSettings, folder) -> None:
        (folder / "shop.yaml").write_text(APPLICATION)
        super().__init__(
            "services.reward_calculator",
            names,
            folder / "log",
            STREAMWHEEL_APPLICATIONS=str(folder),
            STREAMWHEEL_INSTANCE=folder.name,
        )


def last(rewards):
    """decision_id → its newest reward record."""
    return {r["decision"]["decision_id"]: r for r in rewards}


@pytest.fixture
async def calculator(topics, tmp_path):
    async with Calculator(topics, tmp_path).running() as (running, _):
        yield running


class Topics:
    """Reads and writes the loop's topics, as an outside producer does."""

    def __init__(self, names: BrokerSettings) -> None:
        self.names = names

    async def __aenter__(self):
        self.producer = AIOKafkaProducer(**self.names.aiokafka(), acks="all", max_request_size=12_000_000)
        await self.producer.start()
        return self

    async def __aexit__(self, *_):
        await self.producer.stop()

    async def write(self, topic, key, value, partition=None):
        partition = partition_for(key.encode(), 4) if partition is None else partition
        full = self.names.topic(topic)
        return await self.producer.send_and_wait(full, value, key=key.encode(), partition=partition)

    async def decide(self, decision_id, **changes):
        return await self.write(
            "decisions", decision_id, encode(schema("decisions"), decision(decision_id, **changes))
        )

    async def interact(self, decision_id, *arguments, **changes):
        record = encode(schema("interactions"), interaction(decision_id, *arguments, **changes))
        return await self.write("interactions", decision_id, record)

    async def read(self, topic):
        """All committed records of a topic."""
        consumer = AIOKafkaConsumer(**self.names.aiokafka(), isolation_level="read_committed")
        await consumer.start()
        try:
            tps = [TopicPartition(self.names.topic(topic), n) for n in range(4)]
            consumer.assign(tps)
            ends = await consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, 0)
            records = []
            for tp in tps:
                while await consumer.position(tp) < ends[tp]:
                    records += (await consumer.getmany(tp, timeout_ms=100)).get(tp, [])
            return records
        finally:
            await consumer.stop()

    async def rewards(self):
        return [decode(schema("rewards"), record.value) for record in await self.read("rewards")]

    async def until(self, topic, count, limit=60.0):
        async def found():
            records = await self.read(topic)
            return len(records) >= count and records

        return await until(found, limit)

    async def until_earned(self, count):
        """Wait until this many decisions have a last reward of 1."""

        async def enough():
            return sum(r["reward"] == 1.0 for r in last(await self.rewards()).values()) >= count

        await until(enough, 90.0)


async def test_rewards_defaults_corrections_and_late_ones(calculator, topics):
    async with Topics(topics) as log:
        await log.decide("clicked")
        await log.decide("ignored")
        await log.interact("clicked", "i", 2.0)
        await log.until("rewards", 2)
        await log.interact("ignored", "late", 5.0)
        await log.until("rewards", 3)
        await log.interact("clicked", "i", 2.0)  # a copy
        await log.interact("clicked", "i", 3.0)  # a conflict
        await log.until("dead-letters", 1)
        fields = ("reward", "previous_reward", "revision", "is_default")
        rewards = [(r["decision"]["decision_id"], *(r[f] for f in fields)) for r in await log.rewards()]
        assert sorted(rewards) == [
            ("clicked", 2.0, 0.0, 0, False),
            ("ignored", -1.0, 0.0, 0, True),
            ("ignored", 5.0, -1.0, 1, False),
        ]
        (dead,) = await log.read("dead-letters")
        assert dict(dead.headers)["__connect.errors.exception.class.name"] == b"interaction-conflict"


async def test_broken_records_become_dead_letters_and_the_partition_goes_on(calculator, topics):
    good = encode(schema("decisions"), decision("good"))
    broken = [b"garbage", good[:-3], good + b"\0", b"\xc3\x01" + b"\0" * 8 + good[10:], None, b""]
    broken.append(good + bytes(10_000_000))
    broken.append(encode(schema("decisions"), decision("good", propensity=float("nan"))))
    broken.append(encode(schema("decisions"), decision("good", application="unknown")))
    broken.append(encode(schema("decisions"), decision("good", context=[float("inf")])))
    async with Topics(topics) as log:
        for value in broken:
            await log.write("decisions", "good", value)
        await log.decide("good")
        not_finite = encode(schema("interactions"), interaction("good", "i", float("nan")))
        await log.write("interactions", "good", not_finite)
        await log.interact("good", "j", 4.0)
        await log.until("rewards", 1)
        dead = await log.until("dead-letters", len(broken) + 1)
        assert {d.value for d in dead} == {*broken, not_finite}
        assert [r["reward"] for r in await log.rewards()] == [4.0]
    async with httpx.AsyncClient(base_url=calculator.url) as http:
        counted = 'streamwheel_records_dead_total{reason="null-value",topic="decisions"} 1.0'
        await until_measured(http, counted)


async def test_records_in_a_wrong_partition_are_moved_not_lost(calculator, topics):
    home = partition_for(b"astray", 4)
    async with Topics(topics) as log:
        await log.write(
            "decisions", "astray", encode(schema("decisions"), decision("astray")), (home + 1) % 4
        )
        await log.write(
            "interactions", "astray", encode(schema("interactions"), interaction("astray")), (home + 2) % 4
        )
        (record,) = await log.until("rewards", 1)
        assert record.partition == home
        assert decode(schema("rewards"), record.value)["reward"] == 1.0


async def test_killed_at_any_moment_every_decision_has_its_reward_once(calculator, topics):
    ids = [uuid.uuid4().hex for _ in range(900)]
    async with Topics(topics) as log:
        for start in range(0, len(ids), 150):
            part = ids[start : start + 150]
            await asyncio.gather(*(log.decide(i) for i in part))
            await asyncio.gather(
                *(log.interact(i, f"{k}", float(k)) for n, i in enumerate(part) for k in range(n % 3))
            )
            calculator.kill()
            await calculator.begin()

        async def of_all():
            rewards = await log.rewards()
            return len(last(rewards)) >= len(ids) and rewards

        rewards = await until(of_all)
        assert not await log.read("dead-letters")
    revisions = {}
    for reward in rewards:
        revisions.setdefault(reward["decision"]["decision_id"], []).append(reward)
    for n, i in enumerate(ids):
        chain = revisions[i]
        assert [r["revision"] for r in chain] == list(range(len(chain)))
        assert [r["previous_reward"] for r in chain] == [0.0] + [r["reward"] for r in chain[:-1]]
        counted = n % 150 % 3
        assert chain[-1]["reward"] == (float(sum(range(counted))) if counted else -1.0)


async def test_a_worker_that_slept_through_its_replacement_writes_no_reward_twice(topics, tmp_path):
    """Its partitions have gone to another when it wakes: with what it had in hand it comes too late."""
    ids = [uuid.uuid4().hex for _ in range(200)]
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    first, second = (Calculator(topics, folder) for folder in folders)
    async with Topics(topics) as log:
        try:
            await first.begin()
            await asyncio.gather(*(log.decide(i) for i in ids))
            interactions = [asyncio.ensure_future(log.interact(i)) for i in ids]
            await asyncio.sleep(0)
            first.signal(signal.SIGSTOP)  # some of them may be in a transaction of its
            await asyncio.gather(*interactions)
            second.start()
            await log.until_earned(len(ids))
            first.signal(signal.SIGCONT)
            more = [uuid.uuid4().hex for _ in range(200)]
            await asyncio.gather(*(log.decide(i) for i in more))
            await asyncio.gather(*(log.interact(i) for i in more))
            async with asyncio.timeout(90):
                while sum(r["reward"] == 1.0 for r in last(await log.rewards()).values()) < 2 * len(ids):
                    if first.has_ended():
                        await first.begin()  # as the supervisor would
                    await asyncio.sleep(0.1)
        finally:
            first.kill()
            second.kill()
        chains = {}
        for reward in await log.rewards():
            chains.setdefault(reward["decision"]["decision_id"], []).append(reward["revision"])
        assert all(revisions == list(range(len(revisions))) for revisions in chains.values())
        assert not await log.read("dead-letters")


async def test_a_worker_that_joins_takes_over_partitions_without_a_double(calculator, topics, tmp_path):
    folder = tmp_path / "second"
    folder.mkdir()
    async with Topics(topics) as log:
        ids = [uuid.uuid4().hex for _ in range(300)]
        await asyncio.gather(*(log.decide(i) for i in ids[:150]))
        second = Calculator(topics, folder)
        try:
            await second.begin()
            await asyncio.gather(*(log.interact(i) for i in ids[:150]))
            await asyncio.gather(*(log.decide(i) for i in ids[150:]))
            calculator.kill()
            await asyncio.gather(*(log.interact(i) for i in ids[150:]))
            await log.until_earned(len(ids))
            chains = [r["revision"] for r in await log.rewards() if r["decision"]["decision_id"] == ids[0]]
            assert chains == list(range(len(chains)))
        finally:
            second.kill()
