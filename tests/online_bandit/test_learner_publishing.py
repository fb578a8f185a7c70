"""What is published, and when: whoever reads it, whole or compacted, knows what the offsets say."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from services.online_bandit.learner.handlers import Reader
from services.online_bandit.learner.outlets import Outlet, row_size, snapshot_size
from services.online_bandit.learner.partition_state import PartitionState
from services.online_bandit.learner.recovery import Recovery
from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.applications.registry import load
from shared.wire.codec import decode
from shared.wire.policy_replicas import Replicas
from shared.wire.policy_updates import CHUNK_BYTES
from shared.wire.schemas import schema
from tests.online_bandit.rewards import DECIDED, Raw, check, expected, raw, reward, rewards
from tests.online_bandit.shop import large, write_applications

PAUSE_S = 0.1
MOST_S = 60.0
UPDATES = schema("policy-updates")


@dataclass
class Fetched:
    """Records as a fetch brings them."""

    values: list[Raw]
    first: int
    keys: list[Raw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = [b"k-%d" % n for n in range(len(self.values))]
        self.offsets = np.arange(len(self.values)) + self.first
        self.timestamps = np.full(len(self.values), DECIDED + 1_000_000)
        self.next_offset = self.first + len(self.values)


@dataclass
class World:
    """One partition, its log of updates and a clock."""

    applications: dict[str, Application]
    outlet: Outlet
    log: list[tuple[bytes, bytes]] = field(default_factory=list)
    values: list[Raw] = field(default_factory=list)
    now: float = 1_000.0

    def __post_init__(self) -> None:
        self.recover({})

    def recover(self, updates: dict[bytes, bytes | None]) -> None:
        self.recovery = Recovery(self.applications, self.outlet, Reader(self.applications))
        self.state: PartitionState = self.recovery.rebuild([0], updates, {0: 0})[0]
        self.outlet.sharing = max(1, self.recovery.large_states(1))

    def learn(self, values: list[Raw]) -> None:
        self.state.learn(Fetched(values, len(self.values)))
        self.values += values

    def publish(self) -> list[str]:
        """The kinds of updates that one publication writes."""
        publication = self.state.publication(self.now)
        if publication is None:
            return []
        self.log += publication.updates
        self.recovery.follow(publication.updates)
        self.state.adopt(self.recovery.scalings)
        return [decode(UPDATES, value)["kind"] for _, value in publication.updates]

    def compacted(self) -> dict[bytes, bytes | None]:
        newest: dict[bytes, bytes | None] = {}
        for key, value in self.log:
            newest.pop(key, None)
            newest[key] = value
        return newest

    def check_claims(self) -> None:
        """Where every record can be learnt: no reader is behind, or says that it knows more than it does."""
        for values in [value for _, value in self.log], list(self.compacted().values()):
            (application,) = self.applications.values()
            replicas = Replicas({self.name: partial(new_learner, application)})
            part = replicas.policies[self.name].partition(0)
            for value in values:
                replicas.apply(decode(UPDATES, value))
                assert part.next_offset <= part.learner.learnt
            assert not part.behind
            assert part.next_offset == self.state.policies[application.name].learnt_offset

    @property
    def name(self) -> tuple[str, str]:
        (application,) = self.applications.values()
        return application.name, policy_name(application)

    def check_readers(self) -> None:
        """Readers of the whole log and of its compaction know all that they say they do."""
        for values in (value for _, value in self.log), self.compacted().values():
            learners = {(a.name, policy_name(a)): partial(new_learner, a) for a in self.applications.values()}
            replicas = Replicas(learners)
            for value in values:
                replicas.apply(decode(UPDATES, value))
            for (name, _), replica in replicas.policies.items():
                part = replica.partition(0)
                assert not part.behind
                if part.learner.scaling is not None:
                    known = self.values[: part.next_offset]
                    check(part.learner, expected(self.applications[name], part.learner, known))


@pytest.fixture
def applications(tmp_path: Path) -> dict[str, Application]:
    return load([write_applications(tmp_path / "applications")])


@pytest.fixture
def small(applications: dict[str, Application]) -> World:
    return World(applications, Outlet(256_000, 8e6, PAUSE_S))


@pytest.fixture
def big() -> World:
    """A policy of 40 kB that counts as large; its whole snapshots may come every ten seconds."""
    return World({"large": large(5, 40)}, Outlet(10_000, 3_500, PAUSE_S))


def steps(world: World, seconds: float, rows: int) -> Iterator[list[str]]:
    (application,) = world.applications.values()
    for _ in range(round(seconds / PAUSE_S)):
        world.learn(rewards(application, rows, len(world.values)))
        yield world.publish()
        world.now += PAUSE_S


def test_a_small_policy_is_published_whole_and_only_where_it_has_news(small: World) -> None:
    small.learn(rewards(small.applications["shop"], 30, 1))
    assert sorted(small.publish()) == ["progress", "scaling", "snapshot"]
    small.now += PAUSE_S
    assert small.publish() == ["snapshot", "progress"]  # folded with the scaling
    assert small.publish() == []
    small.learn(rewards(small.applications["ranking"], 3, 2))
    small.now += PAUSE_S
    assert small.publish() == ["snapshot", "progress"]
    small.check_readers()


def test_records_that_teach_nothing_move_the_progress(small: World) -> None:
    small.learn([b"garbage"])
    assert small.publish() == ["progress"]
    replicas = Replicas(
        {("shop", policy_name(small.applications["shop"])): lambda: new_learner(small.applications["shop"])}
    )
    replicas.apply(decode(UPDATES, small.log[-1][1]))
    (shop,) = replicas.policies.values()
    assert shop.offsets == (1,)


def test_a_large_policy_goes_by_deltas_and_its_snapshots_keep_to_the_budget(big: World) -> None:
    kinds = []
    for number, step in enumerate(steps(big, 40, rows=4)):
        kinds += step
        if number % 20 == 0:
            big.check_claims()
    sizes = [
        len(record["payload"])
        for record in (decode(UPDATES, value) for _, value in big.log)
        if record["kind"] == "snapshot"
    ]
    assert 2 <= kinds.count("snapshot") <= 4
    assert kinds.count("delta") > 100
    assert sum(sizes) < 3_500 * 40 * 1.6
    big.check_readers()


@pytest.mark.parametrize("seed", range(6))
def test_readers_and_restarts_know_everything_whatever_the_rhythm(big: World, seed: int) -> None:
    random = np.random.default_rng(seed)
    application = big.applications["large"]
    for _ in range(120):
        big.learn(rewards(application, int(random.integers(1, 40)), int(random.integers(1 << 30))))
        big.now += float(random.exponential(0.4))
        big.publish()
        if random.random() < 0.05:
            big.now += MOST_S
            big.publish()
            learnt = big.state.policies["large"].learnt_offset
            big.check_readers()
            highest = max(decode(UPDATES, value)["sequence"] for key, value in big.log if b"/0/" in key)
            big.recover(big.compacted())
            assert big.state.position == learnt
            assert big.state.policies["large"].sequence == highest
            big.values = big.values[:learnt]
    big.now += MOST_S
    big.learn(rewards(application, 1, 1))
    big.publish()
    big.check_readers()
    state = big.state.policies["large"]
    assert state.learnt_offset == len(big.values)
    check(state.learner, expected(application, state.learner, big.values))


def test_rows_that_outweigh_the_statistics_are_not_published_singly(big: World) -> None:
    learner = big.state.policies["large"].learner
    list(steps(big, 20, rows=4))
    rows = 2 * snapshot_size(learner) // row_size(learner)
    assert [step.count("delta") for step in steps(big, 0.2, rows)] == [0] * 2
    assert [step.count("delta") for step in steps(big, 1, rows=2)] == [0] * 10  # they would leave a gap
    big.check_claims()
    assert big.state.policies["large"].learnt_offset < len(big.values)
    big.now += MOST_S
    assert big.publish() == ["snapshot", "progress"]
    assert big.state.policies["large"].learnt_offset == len(big.values)
    big.check_readers()


def test_no_record_is_larger_than_a_chunk(tmp_path: Path) -> None:
    world = World({"large": large(20, 120)}, Outlet(256_000, 8e6, PAUSE_S))
    for step in steps(world, 1.0, rows=1_500):
        assert "delta" in step or "snapshot" in step
    world.check_claims()
    payloads = [decode(UPDATES, value)["payload"] for _, value in world.log]
    assert 300_000 < max(map(len, payloads)) <= CHUNK_BYTES
    world.check_readers()


def test_a_restart_skips_what_each_policy_has_learnt_and_tells_the_dead_once(small: World) -> None:
    random = np.random.default_rng(3)
    shop, ranking = small.applications["shop"], small.applications["ranking"]
    values: list[Raw] = [raw(reward((shop, ranking)[n % 2], random)) for n in range(40)]
    values[20] = b"garbage"
    small.learn(values)
    small.publish()
    small.now += PAUSE_S
    small.publish()
    updates = {key: value for key, value in small.compacted().items() if not key.startswith(b"ranking")}
    updates = {key: value for key, value in updates.items() if not key.startswith(b"progress")}
    progress = small.compacted()[b"progress/0"]
    assert progress is not None
    small.recover(updates)  # a learner that knows no ranking and no progress
    assert (small.state.position, small.state.seen) == (0, 0)
    small.recover({**updates, b"progress/0": progress})
    small.state.learn(Fetched(values, 0))
    small.state.adopt(small.recovery.scalings)
    publication = small.state.publication(small.now)
    assert publication is not None
    assert publication.dead == ()
    learner = small.state.policies["shop"].learner
    check(learner, expected(shop, learner, [value for value in values if value != b"garbage"]))


def test_statistics_that_cannot_be_read_are_learnt_once_more(small: World) -> None:
    small.learn(rewards(small.applications["shop"], 30, 1))
    small.publish()
    updates = small.compacted()
    (key,) = (key for key in updates if key.startswith(b"shop/") and b"/snapshot/" in key)
    updates[key] = b"garbage"
    small.recover(updates)
    shop, ranking = (small.state.policies[name] for name in ("shop", "ranking"))
    assert (shop.next_offset, shop.learner.learnt) == (0, 0)
    assert ranking.next_offset == 30
    assert small.state.position == 0


def test_dead_letters_are_byte_exact_and_told_once(small: World) -> None:
    small.learn([b"garbage", None])
    publication = small.state.publication(small.now)
    assert publication is not None
    assert [(dead.key, dead.value, dead.offset, dead.reason) for dead in publication.dead] == [
        (b"k-0", b"garbage", 0, "bad-marker"),
        (b"k-1", None, 1, "null-value"),
    ]
    small.log += publication.updates
    assert small.publish() == []
    small.recover(small.compacted())
    assert small.state.seen == 2
