"""Resets of arms: replays and audits honour them, and name what was done otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from shared.applications.registry import load
from shared.cli.audit.learning import Offline, placed
from shared.cli.audit.replay import replay_log
from shared.cli.audit.resets import read_requests
from shared.core.draw import draw, uniform
from shared.core.policies.learner import Learner
from shared.core.policies.solving import solve
from shared.wire.columns import decode_columns
from shared.wire.policy_replicas import PartitionReplica
from shared.wire.schemas import schema
from tests.cli.world import DAY, SECOND, START, World
from tests.online_bandit.rewards import DECIDED, raw, reward

ARM = "3"
"""An action of optdigits."""
EARLY = START - 60 * SECOND
CONTEXT = np.arange(64, dtype=np.float32)


@pytest.fixture
def world() -> World:
    return World()


def broken(world: World) -> dict[str, str]:
    """Invariant → what broke it."""
    return {name: verdict for name, verdict in world.audit().verdicts.items() if verdict != "holds"}


@pytest.mark.parametrize("known", [0, 7, 1_000])
def test_a_reset_that_was_asked_for_holds_and_is_replayed(world: World, known: int) -> None:
    before = replay_log(world.log, world.application, START + DAY)
    world.ask_reset(ARM, START + 5)
    world.publish((ARM, START + 5, known))
    assert broken(world) == {}
    found = replay_log(world.log, world.application, START + DAY)
    assert found.matches
    assert found.served_model == found.model != before.model
    assert found.reward_table == before.reward_table


def test_a_reset_that_nobody_asked_for(world: World) -> None:
    world.publish((ARM, START + 5, 7))
    assert f"{ARM} was reset as of {START + 5}, which nobody asked for" in broken(world)["I3"]


def test_what_was_asked_for_before_the_topic_begins_is_believed(world: World) -> None:
    world.ask_reset(ARM, START + 5)
    world.ask_reset(ARM, START + 6)
    world.publish((ARM, START + 5, 7), (ARM, START + 6, 9))
    entries = world.log.topics["deployment-events"][0]
    read = world.log.read

    def shortened(topic, partition, start=0, end=None):  # type: ignore[no-untyped-def]
        return read(topic, partition, max(start, 1) if topic == "deployment-events" else start, end)

    world.log.read = shortened  # type: ignore[method-assign]
    assert len(entries) == 2
    assert read_requests(world.log).known_from == START + 6
    assert broken(world) == {}


def test_a_reset_that_was_left_out(world: World) -> None:
    world.ask_reset(ARM, EARLY)
    assert f"{ARM} was not reset, which was asked for at {EARLY}" in broken(world)["I3"]
    world.ask_reset(ARM, EARLY + 1)
    world.publish((ARM, EARLY + 1, 0))  # the later one does for both
    assert broken(world) == {}


def test_a_reset_that_no_decision_is_known_after_may_be_on_its_way(world: World) -> None:
    world.ask_reset(ARM, START)
    assert broken(world) == {}


def test_a_reset_that_is_done_twice(world: World) -> None:
    learner = world.learner(0, 1_000, (ARM, EARLY, 3))
    learner.repeat(learner.resets[0])
    world.ask_reset(ARM, EARLY)
    world.publish((ARM, EARLY, 3))
    world.learner = lambda *_: learner  # type: ignore[method-assign]
    world.publish()
    assert "a reset was done twice" in broken(world)["I3"]


@pytest.mark.parametrize("forgets", [True, False])
def test_sums_are_those_of_later_decisions(forgets: bool) -> None:
    voice, random = load()["voice_assistant"], np.random.default_rng(1)
    values = [
        raw(reward(voice, random, action=voice.actions[n % 3], decision_time=DECIDED + n)) for n in range(60)
    ]
    frame = decode_columns(schema("rewards"), values).frame
    rows, _ = placed(voice, frame)
    learner = Learner(
        voice.settings.policy.configuration, width=voice.context_width, actions=len(voice.actions)
    )
    learner.learn(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times)
    right = Learner.from_bytes(learner.to_bytes())
    right.reset(1, DECIDED + 30)
    kept = learner.statistics
    learner.reset(1, DECIDED + 30)
    if not forgets:
        learner.folded.merge(kept)
        learner.folded.rows -= kept.rows
    offline = Offline(voice, PartitionReplica(learner, next_offset=len(values)))
    offline.add(frame, np.arange(len(values)))
    assert (offline.difference() is None) == forgets


def decide(world: World, offsets: tuple[int, int], resets: int, *done: tuple[str, int, int]) -> None:
    """Log a decision of what both partitions knew at these offsets."""
    decision_id = f"online-{offsets}-{resets}"
    learners = [world.learner(n, offset, *done) for n, offset in enumerate(offsets)]
    row = solve(learners).probabilities(CONTEXT[None])[0]
    version = sum(offsets) + resets
    entries = world.log.topics["decisions"][world.home(decision_id)]
    policy = entries[0].fields["policy"]
    action = draw(row.tolist(), uniform(decision_id, policy, version))
    world.decide(
        decision_id,
        START + DAY - SECOND,
        policy_version=version,
        policy_offsets=list(offsets),
        probabilities=row.tolist(),
        action=world.application.actions[action],
        propensity=float(row[action]),
        context=CONTEXT.tolist(),
    )
    world.journal.decisions.acknowledged.add(decision_id)


def test_decisions_before_and_after_a_reset_are_recomputed(world: World) -> None:
    arm = world.application.actions[int(world.learner(0, 1_000).open_rows.actions[0])]
    done = (arm, START + 5, 6)
    world.ask_reset(arm, START + 5)
    world.publish(done)
    for offsets in ((4, 5), (6, 6), (6, 5)):
        decide(world, offsets, 0)
    for offsets in ((6, 6), (9, 7), (15, 15)):
        decide(world, offsets, 2, done)
    assert broken(world) == {}


@pytest.mark.parametrize(("offsets", "resets"), [((9, 9), 0), ((9, 9), 1), ((4, 4), 1), ((6, 4), 2)])
def test_a_number_of_resets_that_there_cannot_have_been(
    world: World, offsets: tuple[int, int], resets: int
) -> None:
    world.ask_reset(ARM, START + 5)
    world.publish((ARM, START + 5, 6))
    decide(world, offsets, resets)
    assert "its policy_version counts resets that its policy_offsets do not allow" in broken(world)["I5"]


def test_probabilities_that_still_know_the_arm(world: World) -> None:
    model = solve([world.learner(n, 12) for n in range(2)])
    arm = world.application.actions[int(model.probabilities(CONTEXT[None])[0].argmax())]
    world.ask_reset(arm, START + 5)
    world.publish((arm, START + 5, 12))
    decide(world, (12, 12), 2)
    assert "its probabilities are not those of" in broken(world)["I5"]


def test_a_reset_of_no_application_or_action_is_no_request_for_another(world: World) -> None:
    world.ask_reset(ARM, EARLY)
    entry = world.log.topics["deployment-events"][0].pop()
    world.log.topics["deployment-events"][0].append(replace(entry, value=b"garbage"))
    assert read_requests(world.log).asked == {}
