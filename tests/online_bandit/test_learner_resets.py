"""Arms are reset by a running learner: what it then publishes is exact, whatever happens to the process."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.cli.audit.learning import learnable
from shared.core.policies.learner import Learner
from shared.wire.codec import decode
from shared.wire.columns import decode_columns
from shared.wire.policy_replicas import Replica, Replicas
from shared.wire.rollouts import DeploymentEvent
from shared.wire.schemas import schema
from tests.deployer.processes import put
from tests.online_bandit.rewards import (
    DECIDED,
    PARTITIONS,
    Expected,
    Raw,
    append,
    check,
    expected,
    learning,
    learnt,
    published,
    raw,
    reward,
    updates,
)
from tests.online_bandit.shop import large_settings, write_applications
from tests.waiting import until

SPAN_MS = 1_000_000
"""Decisions of one round are made within it; those of the next one come after it."""


def rewards(application: Application, number: int, turn: int, seed: int) -> list[Raw]:
    """Decisions of one round; from the second on, every fifth record corrects one of the first round."""
    random = np.random.default_rng([seed, turn])
    found = []
    for n in range(number):
        late = turn > 0 and n % 5 == 0
        at = DECIDED + (0 if late else turn) * SPAN_MS + int(random.integers(SPAN_MS))
        changes = {"previous_reward": 0.5, "revision": 1} if late else {}
        found.append(raw(reward(application, random, decision_time=at, **changes)))
    return found


def asked(application: Application, index: int, at: int) -> bytes:
    """Somebody asks for one of its arms to be reset."""
    event = DeploymentEvent(
        *(f"reset-{at}-{index}", application.name, 0, "reset", "main", "main", 0.0, "", "", "ann", at),
        action=application.actions[index],
    )
    return event.encode()


def check_all(application: Application, replica: Replica, values: dict[int, list[Raw]]) -> None:
    """Every partition knows all of its rewards but those of decisions before the reset of their arm."""
    for number, part in replica.partitions.items():
        learner = part.learner
        since = {each.action: each.since_ms for each in learner.resets}

        def counts(value: Raw, since: dict[int, int] = since) -> bool:
            record = decode(schema("rewards"), value)
            index = application.actions.index(record["decision"]["action"])
            return bool(record["decision_time"] >= since.get(index, 0))

        kept = expected(application, learner, filter(counts, values[number]))
        assert kept.rows < len(values[number])
        rows = len(values[number]) + len(learner.resets)
        check(learner, Expected(rows, kept.curvature, kept.moment, kept.count))


def replayed(application: Application, like: Learner, values: list[Raw]) -> bytes:
    """What a learner with the resets and scaling of another makes of the log from its beginning."""
    again = new_learner(application)
    assert like.scaling is not None
    again.set_scaling(like.scaling)
    for each in like.resets:
        again.repeat(each)
    rows = learnable(application, decode_columns(schema("rewards"), values).frame)
    again.learn(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times)
    return again.to_bytes()


async def reset(broker: BrokerSettings, application: Application, *indexes: int) -> Replicas:
    """Wait until every partition has reset exactly these arms, in this order; what is known then."""
    found: list[Replicas] = []

    async def done() -> bool:
        found[:] = [await published(broker, application)]
        parts = found[0].policies[application.name, policy_name(application)].partitions
        resets = [[each.action for each in parts[n].learner.resets] for n in sorted(parts)]
        return resets == [list(indexes)] * PARTITIONS

    await until(done, 60)
    return found[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = str(large_settings(20, 60)).replace("'", '"')
    return write_applications(tmp_path / "applications", large=settings)


@pytest.mark.parametrize("name", ["shop", "large"])
async def test_killed_around_a_reset_it_goes_on_exactly(
    topics: BrokerSettings, folder: Path, name: str
) -> None:
    application = load([folder])[name]
    values: dict[int, list[Raw]] = {n: [] for n in range(PARTITIONS)}

    async def more(turn: int) -> list[int]:
        news = {n: rewards(application, 150 + 10 * n, turn, n) for n in values}
        for number, part in news.items():
            values[number] += part
        await append(topics, news)
        return [len(values[n]) for n in range(PARTITIONS)]

    lengths = await more(0)
    async with learning(topics, folder, STREAMWHEEL_INSTANCE="one") as learner:
        await learnt(topics, lengths, application)
        await put(topics, "deployment-events", b"garbage", asked(application, 1, DECIDED + 5))
        await reset(topics, application, 1)
        learner.kill()
    lengths = await more(1)  # while nobody learns, and an arm is reset
    await put(topics, "deployment-events", asked(application, 0, DECIDED + SPAN_MS // 2))
    async with learning(topics, folder, STREAMWHEEL_INSTANCE="one") as learner:
        await until(lambda: "arm reset" in learner.log.read_text())
        learner.kill()
    async with learning(topics, folder, STREAMWHEEL_INSTANCE="one"):
        await learnt(topics, lengths, application)
        replicas = await reset(topics, application, 1, 0)
        check_all(application, replicas.policies[name, policy_name(application)], values)
        await put(topics, "deployment-events", asked(application, 1, DECIDED + SPAN_MS))
        lengths = await more(2)
        await learnt(topics, lengths, application)
        replicas = await reset(topics, application, 1, 0, 1)
    known = replicas.policies[name, policy_name(application)]
    check_all(application, known, values)
    for number, part in known.partitions.items():
        assert replayed(application, part.learner, values[number]) == part.learner.to_bytes()
    compacted = Replicas({(name, policy_name(application)): partial(new_learner, application)})
    newest = dict(await updates(topics))
    for record in sorted(newest.values(), key=lambda record: record["sequence"]):
        compacted.apply(record)
    check_all(application, compacted.policies[name, policy_name(application)], values)


async def test_another_configuration_forgets_what_was_reset_before(
    topics: BrokerSettings, folder: Path
) -> None:
    shop = load([folder])["shop"]
    values = {n: rewards(shop, 100, 0, n) + rewards(shop, 100, 1, n) for n in range(PARTITIONS)}
    await append(topics, values)
    await put(topics, "deployment-events", asked(shop, 2, DECIDED + SPAN_MS))
    async with learning(topics, folder):  # nothing is known of it yet: the log is learnt from its beginning
        await learnt(topics, [200] * PARTITIONS, shop)
        replicas = await reset(topics, shop, 2)
    known = replicas.policies["shop", policy_name(shop)]
    assert {each.since_ms for part in known.learners for each in part.resets} == {DECIDED + SPAN_MS}
    check_all(shop, known, values)
    assert all(learner.statistics.count[2] > 0 for learner in known.learners)
