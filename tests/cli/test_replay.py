"""A replay gives one digest for one log, and names what the stored results have otherwise."""

import pytest

from shared.cli.audit.replay import Replay, replay_log
from tests.cli.world import DAY, START, World


@pytest.fixture
def world() -> World:
    return World()


def replayed(world: World) -> Replay:
    return replay_log(world.log, world.application, START + DAY)


def test_a_right_log_gives_the_stored_results(world: World) -> None:
    found = replayed(world)
    assert found.matches
    assert (found.decisions, found.rewards, found.open) == (40, 40, 0)
    assert found.served_model == found.model
    again = replayed(World())
    assert (again.reward_table, again.model) == (found.reward_table, found.model)


def test_another_reward_is_named_and_changes_the_models_digest_alone(world: World) -> None:
    before = replayed(world)
    world.change("rewards", 0, 0, reward=0.5)
    found = replayed(world)
    assert not found.matches
    assert "has reward 0.5, the log gives" in found.differences[0]
    assert found.reward_table == before.reward_table
    assert found.model != before.model


def test_a_reward_that_nobody_earned_is_named(world: World) -> None:
    decision = world.log.topics["decisions"][0].pop()
    found = replayed(world)
    assert f"{decision.fields['decision_id']} has a reward, and the log gives it none" in found.differences


def test_a_learner_that_is_behind_is_not_compared(world: World) -> None:
    world.decide("one-more", START)
    world.reward("one-more", 0.0)
    found = replayed(world)
    assert found.matches
    assert found.served_model is None


def test_another_published_model_does_not_match(world: World) -> None:
    world.change("rewards", 0, 0, reward=0.5)
    world.publish()
    world.change("rewards", 0, 0, reward=float(world.log.topics["rewards"][0][0].fields["interactions"]))
    found = replayed(world)
    assert not found.differences
    assert not found.matches
