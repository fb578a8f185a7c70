"""The learner on a real Kafka: exact statistics with their offset, whatever happens to the process."""

import signal
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.online_bandit.learner.partition import GROUP
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.broker.dead_letters import origin
from shared.broker.settings import BrokerSettings
from shared.wire.policy_replicas import Replica, Replicas
from tests.online_bandit.rewards import (
    PARTITIONS,
    Raw,
    append,
    check,
    expected,
    learning,
    learnt,
    published,
    raw,
    reward,
    rewards,
    updates,
)
from tests.online_bandit.shop import SHOP, large, large_settings, write_applications
from tests.waiting import until, until_measured

#: Replaces SHOP's policy by another: the same features and actions, another hyper-parameter.
OTHER_SHOP = SHOP.replace("kind: squarecb", "kind: linucb, alpha: 0.7")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_applications(tmp_path / "applications")


@pytest.fixture
def applications(folder: Path) -> dict[str, Application]:
    return load([folder])


@pytest.fixture
def shop(applications: dict[str, Application]) -> Application:
    return applications["shop"]


def check_all(application: Application, replica: Replica, values: dict[int, list[Raw]]) -> None:
    """Every partition has learnt all of its values, exactly once."""
    for number, part in replica.partitions.items():
        check(part.learner, expected(application, part.learner, values[number]))


def lengths(values: dict[int, list[Raw]]) -> list[int]:
    return [len(values[number]) for number in range(PARTITIONS)]


async def committed(broker: BrokerSettings) -> list[int]:
    """The group's offsets of the rewards."""
    consumer = AIOKafkaConsumer(**broker.aiokafka(), group_id=broker.group(GROUP), enable_auto_commit=False)
    await consumer.start()
    try:
        topic = broker.topic("rewards")
        return [await consumer.committed(TopicPartition(topic, n)) or 0 for n in range(PARTITIONS)]
    finally:
        await consumer.stop()


async def test_snapshots_equal_the_sums_over_the_rewards_before_their_offset(
    topics: BrokerSettings, folder: Path, applications: dict[str, Application]
) -> None:
    shop, ranking = applications["shop"], applications["ranking"]
    values = {n: rewards(shop, 300 + n, n) + rewards(ranking, 50, 10 + n) for n in range(PARTITIONS)}
    await append(topics, values)
    async with learning(topics, folder) as learner, httpx.AsyncClient(base_url=learner.url) as http:
        replicas = await learnt(topics, lengths(values), shop, ranking)
        for application, replica in zip((shop, ranking), replicas.policies.values(), strict=True):
            check_all(application, replica, values)
        assert await committed(topics) == lengths(values)
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 200
        rows = sum(len(part) for part in values.values())
        labels = f'application="shop",policy="{policy_name(shop)}"'
        await until_measured(
            http,
            f'streamwheel_records_in_total{{topic="rewards"}} {rows}.0',
            f"streamwheel_rewards_learnt_total{{{labels}}} {rows - 4 * 50}.0",
            f"streamwheel_snapshots_total{{{labels}}}",
            f"streamwheel_mean_reward{{{labels}}}",
        )
        assert await learner.stop() == 0


async def test_killed_while_it_learns_it_goes_on_exactly(
    topics: BrokerSettings, folder: Path, shop: Application
) -> None:
    values: dict[int, list[Raw]] = {n: [] for n in range(PARTITIONS)}
    random = np.random.default_rng(5)
    for life in range(4):
        news = {n: rewards(shop, int(random.integers(200, 900)), 10 * life + n) for n in values}
        for number, more in news.items():
            values[number] += more
        await append(topics, news)
        enough = sum(lengths(values)) - int(random.integers(1, 500))
        async with learning(topics, folder, STREAMWHEEL_INSTANCE="one") as learner:

            async def under_way(enough: int = enough) -> bool:
                replicas = await published(topics, shop)
                return sum(replicas.policies["shop", policy_name(shop)].offsets) >= enough

            await until(under_way, 60)
            learner.kill()
    async with learning(topics, folder, STREAMWHEEL_INSTANCE="one"):
        replicas = await learnt(topics, lengths(values), shop)
    check_all(shop, replicas.policies["shop", policy_name(shop)], values)


async def test_a_learner_that_was_replaced_is_fenced_and_ends(
    topics: BrokerSettings, folder: Path, shop: Application
) -> None:
    values = {n: rewards(shop, 100, n) for n in range(PARTITIONS)}
    await append(topics, values)
    async with learning(topics, folder, STREAMWHEEL_INSTANCE="one") as zombie:
        await learnt(topics, lengths(values), shop)
        zombie.signal(signal.SIGSTOP)
        async with learning(topics, folder, STREAMWHEEL_INSTANCE="one"):
            for number in values:
                more = rewards(shop, 50, 9 + number)
                values[number] += more
                await append(topics, {number: more})
            await learnt(topics, lengths(values), shop)
            zombie.signal(signal.SIGCONT)
            assert await zombie.ended() == 1
            replicas = await learnt(topics, lengths(values), shop)
    check_all(shop, replicas.policies["shop", policy_name(shop)], values)


async def test_two_learners_share_partitions_and_one_scaling(
    topics: BrokerSettings, folder: Path, shop: Application
) -> None:
    async with learning(topics, folder) as first, learning(topics, folder) as second:
        async with httpx.AsyncClient() as http:

            async def shared() -> bool:
                return {await held(http, each.url) for each in (first, second)} == {2}

            await until(shared, 60)
        values = {n: rewards(shop, 300, n) for n in range(PARTITIONS)}
        await append(topics, values)
        replicas = await learnt(topics, lengths(values), shop)
        scalings = [key for key, record in await updates(topics) if record["kind"] == "scaling"]
        assert len(scalings) == 1
        check_all(shop, replicas.policies["shop", policy_name(shop)], values)
        first.kill()
        more = {n: rewards(shop, 40, 20 + n) for n in range(PARTITIONS)}
        for number, part in more.items():
            values[number] += part
        await append(topics, more)
        replicas = await learnt(topics, lengths(values), shop)
    check_all(shop, replicas.policies["shop", policy_name(shop)], values)


async def held(http: httpx.AsyncClient, url: str) -> float:
    """How many partitions a learner says it holds."""
    try:
        text = (await http.get(f"{url}/metrics")).text
    except httpx.TransportError:
        return 0
    lines = [line for line in text.splitlines() if line.startswith("streamwheel_partitions{")]
    return sum(float(line.split()[-1]) for line in lines)


async def test_a_large_policy_travels_as_deltas_and_readers_know_all_of_it(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    application = large(20, 60)
    folder = tmp_path / "applications"
    folder.mkdir()
    settings = large_settings(20, 60)
    (folder / "large.yaml").write_text(str(settings).replace("'", '"'))
    values: dict[int, list[Raw]] = {n: [] for n in range(PARTITIONS)}
    environment = {"STREAMWHEEL_SNAPSHOT_RATE": "100000", "STREAMWHEEL_INSTANCE": "one"}
    for life in range(2):
        async with learning(topics, folder, **environment) as learner:
            for burst in range(8):
                news = {n: rewards(application, 30, 100 * life + 10 * burst + n) for n in values}
                for number, more in news.items():
                    values[number] += more
                await append(topics, news)
                replicas = await learnt(topics, lengths(values), application)
            learner.kill()
        check_all(application, replicas.policies["large", policy_name(application)], values)
    log = await updates(topics)
    kinds = [record["kind"] for _, record in log]
    assert kinds.count("delta") > 3 * kinds.count("snapshot") > 0
    compacted = Replicas({("large", policy_name(application)): partial(new_learner, application)})
    newest = {key: index for index, (key, _) in enumerate(log)}
    for index in sorted(newest.values()):
        compacted.apply(log[index][1])
    check_all(application, compacted.policies["large", policy_name(application)], values)


async def test_a_reward_that_cannot_be_learnt_is_a_dead_letter_and_blocks_nothing(
    topics: BrokerSettings, folder: Path, shop: Application
) -> None:
    random = np.random.default_rng(1)
    values = {n: rewards(shop, 40, n) for n in range(PARTITIONS)}
    poison: list[tuple[Raw, str]] = [
        (b"garbage", "bad-marker"),
        (None, "null-value"),
        (raw(reward(shop, random))[:-3], "truncated"),
        (raw(reward(shop, random, action="?")), "unknown-action"),
        (raw(reward(shop, random, application="nobody")), "unknown-application"),
        (raw(reward(shop, random, reward=float("nan"))), "reward-not-finite"),
    ]
    mixed = [*values[1][:20], *(value for value, _ in poison), *values[1][20:]]
    await append(topics, {**values, 1: mixed})
    async with learning(topics, folder):
        replicas = await learnt(topics, [40, 40 + len(poison), 40, 40], shop)
    check_all(shop, replicas.policies["shop", policy_name(shop)], values)
    async with learning(topics, folder):  # a restart tells nothing twice
        await append(topics, {1: values[1]})
        await learnt(topics, [40, 80 + len(poison), 40, 40], shop)
    letters = await dead_letters(topics)
    assert [value for _, value, _ in letters] == [value for value, _ in poison]
    for at, ((key, _, found), (_, reason)) in enumerate(zip(letters, poison, strict=True), start=20):
        assert key == b"k-%d" % at
        assert (found.topic, found.partition, found.offset) == (topics.topic("rewards"), 1, at)
        assert (found.reason, found.stage) == (reason, GROUP)


async def dead_letters(broker: BrokerSettings) -> list[tuple[Raw, Raw, object]]:
    """Key, value and origin of all, in the order of partitions and offsets."""
    partitions = [TopicPartition(broker.topic("dead-letters"), n) for n in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        **broker.aiokafka(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        found = []
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < ends[partition]:
                for part in (await consumer.getmany(timeout_ms=100)).values():
                    found += [(record.key, record.value, origin(record.headers)) for record in part]
        return found
    finally:
        await consumer.stop()


async def test_another_configuration_learns_the_log_from_its_beginning(
    topics: BrokerSettings, folder: Path, applications: dict[str, Application]
) -> None:
    shop, ranking = applications["shop"], applications["ranking"]
    values = {n: rewards(shop, 200, n) + rewards(ranking, 60, 10 + n) for n in range(PARTITIONS)}
    await append(topics, values)
    async with learning(topics, folder):
        await learnt(topics, lengths(values), shop, ranking)
    write_applications(folder, shop=OTHER_SHOP)
    other = load([folder])["shop"]
    assert policy_name(other) != policy_name(shop)
    async with learning(topics, folder):
        replicas = await learnt(topics, lengths(values), other, ranking)
    check_all(other, replicas.policies["shop", policy_name(other)], values)
    check_all(ranking, replicas.policies["ranking", policy_name(ranking)], values)
    more = {n: rewards(shop, 30, 30 + n) for n in range(PARTITIONS)}
    for number, part in more.items():
        values[number] += part
    await append(topics, more)
    async with learning(topics, folder):
        await learnt(topics, lengths(values), other)
    write_applications(folder)  # back again: what was learnt before is kept, what was missed is learnt
    async with learning(topics, folder):
        replicas = await learnt(topics, lengths(values), shop, ranking)
    check_all(shop, replicas.policies["shop", policy_name(shop)], values)
    check_all(ranking, replicas.policies["ranking", policy_name(ranking)], values)


async def test_settings_that_are_wrong_end_it_with_2(topics: BrokerSettings, folder: Path) -> None:
    async with learning(topics, folder, STREAMWHEEL_PUBLISH_PAUSE="soon") as learner:
        assert await learner.ended() == 2
    assert "publish_pause" in learner.log.read_text()
