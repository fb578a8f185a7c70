"""The audit is silent about a right log, and names what is planted into one."""

from dataclasses import replace

import pytest

from services.online_bandit.learner import partition as learner
from services.reward_calculator import partition as reward_calculator
from shared.cli.audit.audit import CALCULATOR, LEARNER
from shared.cli.audit.findings import INVARIANTS
from tests.cli.world import DAY, SECOND, START, World


@pytest.fixture
def world() -> World:
    return World()


def broken(world: World) -> dict[str, str]:
    """Invariant → what broke it."""
    return {name: verdict for name, verdict in world.audit().verdicts.items() if verdict != "holds"}


def test_a_right_log_holds_everything(world: World) -> None:
    found = world.audit()
    assert found.sound
    assert found.verdicts == dict.fromkeys(INVARIANTS, "holds")
    assert found.figures["in"] == 40 + 14
    assert found.figures["out"] == 40 + 14
    assert (found.figures["rewards"], found.figures["defaults"]) == (40, 26)


def test_an_acknowledged_event_that_is_not_in_the_log(world: World) -> None:
    world.journal.interactions.acknowledged.add("lost")
    assert broken(world) == {"I1": "lost was acknowledged and is not in interactions"}


def test_a_refused_event_that_is_in_the_log(world: World) -> None:
    world.interact("refused", world.ids[0], START + DAY)
    world.dead_letter("interactions", *_last(world, "interactions", world.ids[0]))
    assert broken(world) == {"I2": "interactions has refused, which was refused"}


def test_a_revision_written_twice(world: World) -> None:
    world.reward(world.ids[0], 1.0, revision=0, previous_reward=0.0)
    world.publish()
    assert "revision 0 where 1 comes next" in broken(world)["I3"]


def test_a_chain_of_previous_rewards_that_breaks(world: World) -> None:
    world.reward(world.ids[0], 1.0, previous_reward=0.5)
    world.publish()
    assert broken(world).keys() == {"I3"}
    assert "previous_reward is 0.5, it was 1.0" in broken(world)["I3"]


def test_a_reward_that_is_learnt_twice(world: World) -> None:
    partition = world.home(world.ids[0])
    rewards = world.log.topics["rewards"][partition]
    rewards.append(rewards[0])
    world.publish()
    rewards.pop()
    assert "rewards are learnt, the log has" in broken(world)["I3"]


def test_a_learner_whose_sums_are_wrong(world: World) -> None:
    partition = world.home(world.ids[1])
    right = world.log.topics["rewards"][partition][0].fields["reward"]
    world.change("rewards", partition, 0, reward=right + 1)
    world.publish()
    world.change("rewards", partition, 0, reward=right)
    assert broken(world).keys() == {"I3"}


def test_a_wrong_reward(world: World) -> None:
    partition = world.home(world.ids[0])
    world.change("rewards", partition, 0, reward=0.25)
    world.publish()
    assert "has reward 0.25, the log gives" in broken(world)["I4"]


def test_a_reward_that_is_missing(world: World) -> None:
    missing = world.log.topics["rewards"][0].pop()
    world.publish()
    decision_id = missing.fields["decision"]["decision_id"]
    assert broken(world)["I4"] == f"{decision_id} has no reward, the log gives {missing.fields['reward']}"


def test_a_default_that_comes_too_early(world: World) -> None:
    rewards = world.log.topics["rewards"][world.home(world.ids[1])]
    place = next(n for n, entry in enumerate(rewards) if entry.fields["is_default"])
    rewards[place] = replace(rewards[place], time=rewards[place].fields["decision_time"] + SECOND)
    assert "before its window closed" in broken(world)["I4"]


def test_a_reward_for_a_decision_that_nobody_made(world: World) -> None:
    decision = world.log.topics["decisions"][0].pop()
    world.journal.decisions.acknowledged.discard(decision.fields["decision_id"])
    dead = broken(world)
    assert dead["I4"] == f"{decision.fields['decision_id']} has a reward, and the log gives it none"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"propensity": 1.5}, "propensity 1.5"),
        ({"propensity": 0.5}, "but the action's probability is"),
        ({"probabilities": [1.0] + [0.0] * 9, "action": "0", "propensity": 1.0}, "not above zero"),
        ({"policy_version": 10}, "anew"),
        ({"action": "ten"}, "'ten'"),
    ],
)
def test_a_propensity_that_cannot_be_recomputed(world: World, fields: dict[str, object], words: str) -> None:
    world.change("decisions", 0, 3, **fields)
    assert words in broken(world)["I5"]


def test_a_late_interaction_that_vanishes(world: World) -> None:
    world.interact("late", world.ids[0], START + DAY // 2)
    partition, offset = _last(world, "interactions", world.ids[0])
    assert broken(world) == {
        "I9": f"interactions-{partition}@{offset} cannot be used, and is not in the dead letters"
    }
    world.dead_letter("interactions", partition, offset)
    assert world.audit().sound
    assert world.audit().figures["late"] == 1


def test_a_dead_letter_of_a_record_that_counts(world: World) -> None:
    world.dead_letter("interactions", 0, 0)
    assert broken(world)["I9"] == "interactions-0@0 is in the dead letters, and its fate is: out"


def test_a_record_that_is_dead_twice(world: World) -> None:
    world.interact("late", world.ids[0], START + DAY // 2)
    for _ in range(2):
        world.dead_letter("interactions", *_last(world, "interactions", world.ids[0]))
    assert "in the dead letters 2 times" in broken(world)["I9"]


def test_copies_are_duplicates_and_conflicts_are_dead(world: World) -> None:
    for value in (1.0, 2.0):
        world.interact(world.interaction_ids[0], world.ids[0], START + 2 * SECOND, value=value)
    world.dead_letter("interactions", *_last(world, "interactions", world.ids[0]), "interaction-conflict")
    found = world.audit()
    assert found.sound
    assert (found.figures["duplicate"], found.figures["dead"]) == (1, 1)


def test_a_deferred_decision_counts_only_once_activated(world: World) -> None:
    for decision_id in ("never", "activated"):
        world.decide(decision_id, START, deferred=True)
        world.interact(f"i-{decision_id}", decision_id, START + SECOND)
    world.interact("a", "activated", START + SECOND, type="$activation", value=None)
    world.reward("activated", 1.0)
    world.publish()
    found = world.audit()
    assert found.sound
    assert found.figures["filtered"] == 2


def test_records_in_a_wrong_partition_are_no_loss_when_they_are_repeated(world: World) -> None:
    wrong = 1 - world.home(world.ids[0])
    entry = world.log.topics["interactions"][world.home(world.ids[0])][0]
    world.log.topics["interactions"][wrong].append(entry)
    found = world.audit()
    assert found.sound
    assert found.figures["moved"] == 1


def test_garbage_belongs_into_the_dead_letters(world: World) -> None:
    entries = world.log.topics["decisions"][0]
    entries.append(replace(entries[0], value=b"garbage"))
    assert "decisions-0@" in broken(world)["I9"]
    world.dead_letter("decisions", 0, len(entries) - 1)
    assert world.audit().sound


def test_what_just_happened_may_be_open(world: World) -> None:
    world.decide("new", START + DAY - SECOND)
    world.interact("orphan", "nobody", START + DAY)
    found = world.audit()
    assert found.sound
    assert found.figures["open"] == 1


def test_an_offset_committed_before_its_effect(world: World) -> None:
    missing = world.log.topics["rewards"][0].pop()
    world.publish()
    offset = missing.fields["decision_offset"]
    world.positions["decisions", 0] = offset
    assert "I13" not in broken(world)
    world.positions["decisions", 0] = offset + 1
    assert broken(world)["I13"].startswith(f"decisions-0 is committed up to {offset + 1}, but decision-")


def test_an_offset_committed_beyond_what_was_published(world: World) -> None:
    end = len(world.log.topics["rewards"][1])
    world.positions["rewards", 1] = end
    assert world.audit().sound
    world.positions["rewards", 1] = end + 1
    assert f"committed up to {end + 1}" in broken(world)["I13"]


def _last(world: World, topic: str, decision_id: str) -> tuple[int, int]:
    """Partition and offset of the newest record in a decision's partition."""
    partition = world.home(decision_id)
    return partition, len(world.log.topics[topic][partition]) - 1


def test_the_groups_whose_offsets_are_looked_at_are_the_services_own() -> None:
    assert reward_calculator.GROUP == CALCULATOR
    assert learner.GROUP == LEARNER
