"""The rollout's rules hold in every state that any order of events can reach."""

from dataclasses import replace

import pytest

from shared.core.rollout.facts import (
    Abort,
    Block,
    Freeze,
    Health,
    Kill,
    Observe,
    Pause,
    Promote,
    Resume,
    Rollback,
    State,
    Submit,
    Thaw,
    Unblock,
)
from shared.core.rollout.machine import step
from shared.core.rollout.settings import RolloutSettings, Stage

STAGES = (
    Stage("shadow", 0.0, 1.0, 0),
    Stage("10 %", 0.1, 1.0, 50),
    Stage("100 %", 1.0, 1.0, 0),
)
QUEUEING = RolloutSettings(stages=STAGES, longest_s=100.0)
SUPERSEDING = replace(QUEUEING, supersede=True)
START = State(base="base", stable="base")
POLICIES = ("a", "b", "c")
EVENTS = [
    *(Submit(each) for each in POLICIES),
    *(Observe(each, health, 50) for each in POLICIES for health in Health),
    *(Block(each, "bad") for each in (*POLICIES, "base")),
    *(Unblock(each) for each in POLICIES),
    *(Pause(), Resume(), Promote(), Abort(), Rollback(), Kill(), Freeze(), Thaw()),
]
DEPTH = 11
"""Events in a row; a second passes before each, so that every stage has baked."""


def timeless(state):
    """A state without times and numbers: what the rules depend on when every stage has baked."""
    rollout = state.rollout and replace(state.rollout, since=0.0, started=0.0)
    return replace(state, rollout=rollout, sequence=0)


def reachable(settings):
    """Every (state, event, outcome) of all event orders up to the depth."""
    known, edge, now = {timeless(START)}, [START], 0.0
    for _ in range(DEPTH):
        now, following = now + 1.0, []
        for state in edge:
            for event in EVENTS:
                outcome = step(state, event, now, settings, "test")
                yield state, event, outcome, now
                if timeless(outcome.state) not in known:
                    known.add(timeless(outcome.state))
                    following.append(outcome.state)
        edge = following


@pytest.fixture(scope="module", params=[QUEUEING, SUPERSEDING], ids=["queueing", "superseding"])
def walked(request):
    return request.param, list(reachable(request.param))


def test_enough_was_walked(walked):
    _, steps = walked
    assert len(steps) > 10_000
    seen = {transition.what for _, _, outcome, _ in steps for transition in outcome.transitions}
    assert seen >= {"queued", "started", "advanced", "stable", "paused", "resumed", "aborted", "rolled-back"}
    assert seen >= {"frozen", "thawed", "blacklisted", "pardoned", "reverted"}


def test_what_is_refused_changes_nothing_and_says_why(walked):
    for state, _, outcome, _ in walked[1]:
        if outcome.refused is not None:
            assert outcome.refused
            assert outcome.state == state
            assert outcome.transitions == ()


def test_every_change_is_audited_in_order(walked):
    settings, steps = walked
    for state, _, outcome, now in steps:
        numbers = [transition.sequence for transition in outcome.transitions]
        assert numbers == list(range(state.sequence + 1, outcome.state.sequence + 1))
        if timeless(outcome.state) != timeless(state):
            assert numbers
        for transition in outcome.transitions:
            assert (transition.at, transition.cause) == (now, "test")
        if numbers:
            assert outcome.transitions[-1].share == outcome.state.share(settings)
            assert outcome.transitions[-1].stable == outcome.state.stable


def test_stages_are_never_skipped(walked):
    for state, _, outcome, _ in walked[1]:
        before, after = state.rollout, outcome.state.rollout
        if after and before and after.policy == before.policy:
            assert after.stage - before.stage in (0, 1)
        elif after:
            assert after.stage == 0
        if outcome.state.stable != state.stable and outcome.state.stable not in (state.base, *state.history):
            assert before is not None
            assert before.stage == len(STAGES) - 1
            assert outcome.state.stable == before.policy


def test_nothing_blacklisted_is_deployed_or_waits(walked):
    for _, _, outcome, now in walked[1]:
        state = outcome.state
        live = {state.stable, *state.queue} | ({state.rollout.policy} if state.rollout else set())
        assert not [each for each in live if state.blocks(each, now)]
        assert not state.blocks("base", now)


def test_a_policy_has_one_place_at_a_time(walked):
    for _, _, outcome, _ in walked[1]:
        state = outcome.state
        places = [state.stable, *state.queue, *([state.rollout.policy] if state.rollout else [])]
        assert len(places) == len(set(places))
        assert state.stable not in state.history


def test_a_breach_ends_the_rollout_in_every_state_and_blacklists(walked):
    found = 0
    for state, event, outcome, now in walked[1]:
        running = state.rollout and state.rollout.policy
        if isinstance(event, Observe) and event.health == Health.BREACH and event.policy == running:
            found += 1
            assert outcome.state.blocks(event.policy, now)
            assert outcome.state.rollout is None or outcome.state.rollout.policy != event.policy
    assert found > 10


def test_nothing_advances_or_starts_while_frozen_or_paused(walked):
    for state, event, outcome, _ in walked[1]:
        what = {transition.what for transition in outcome.transitions}
        if state.frozen and not isinstance(event, Thaw):
            assert not what & {"advanced", "stable", "started"}
        if state.rollout and state.rollout.paused and not isinstance(event, Resume):
            assert not what & {"advanced", "stable"}


def test_operators_always_have_a_way_out(walked):
    for state, event, outcome, _ in walked[1]:
        if isinstance(event, Abort | Rollback) and state.rollout:
            assert outcome.refused is None
            assert outcome.state.rollout is None or outcome.state.rollout.policy != state.rollout.policy
        if isinstance(event, Block) and event.policy != "base":
            assert outcome.refused is None
        if isinstance(event, Freeze):
            assert outcome.state.frozen


def test_after_a_kill_nothing_starts_or_gets_on_until_somebody_thaws(walked):
    for state, event, outcome, _ in walked[1]:
        after = outcome.state
        if isinstance(event, Kill):
            assert outcome.refused is None
            assert after.frozen
            assert after.rollout is None
        if state.frozen and not isinstance(event, Thaw):
            assert after.frozen
            started = [each.what for each in outcome.transitions if each.what in ("started", "advanced")]
            assert not started


def test_a_queue_goes_on_after_a_kill_once_it_is_thawed():
    state = START
    for policy in ("a", "b"):
        state = step(state, Submit(policy), 1.0, QUEUEING).state
    outcome = step(state, Kill(), 2.0, QUEUEING)
    assert [each.what for each in outcome.transitions] == ["rolled-back", "frozen"]
    assert (outcome.state.rollout, outcome.state.queue) == (None, ("b",))
    assert "thaw" in step(outcome.state, Resume(), 3.0, QUEUEING).refused
    assert step(outcome.state, Thaw(), 3.0, QUEUEING).state.rollout.policy == "b"


def test_a_newer_candidate_waits_or_takes_over():
    states = {}
    for settings in (QUEUEING, SUPERSEDING):
        first = step(START, Submit("a"), 1.0, settings).state
        states[settings.supersede] = step(first, Submit("b"), 2.0, settings).state
    assert (states[False].rollout.policy, states[False].queue) == ("a", ("b",))
    assert (states[True].rollout.policy, states[True].queue) == ("b", ())
    after = step(states[False], Abort(), 3.0, QUEUEING)
    assert after.state.rollout.policy == "b"
    assert [each.what for each in after.transitions] == ["aborted", "started"]


def test_a_stage_waits_for_its_time_and_its_samples():
    state = step(START, Submit("a"), 0.0, QUEUEING).state
    good = Observe("a", Health.GOOD, 49)
    assert step(state, good, 0.5, QUEUEING).transitions == ()
    state = step(state, good, 1.0, QUEUEING).state
    assert state.share(QUEUEING) == 0.1
    assert step(state, good, 9.0, QUEUEING).transitions == ()
    assert step(state, Observe("a", Health.UNSURE, 900), 9.0, QUEUEING).transitions == ()
    assert step(state, Observe("a", Health.GOOD, 50), 9.0, QUEUEING).state.share(QUEUEING) == 1.0


def test_resuming_and_thawing_bake_anew():
    state = step(START, Submit("a"), 0.0, QUEUEING).state
    for stop, go in ((Pause(), Resume()), (Freeze(), Thaw())):
        held = step(state, stop, 5.0, QUEUEING).state
        again = step(held, go, 10.0, QUEUEING).state
        assert step(again, Observe("a", Health.GOOD, 99), 10.5, QUEUEING).transitions == ()
        assert step(again, Observe("a", Health.GOOD, 99), 11.0, QUEUEING).transitions


def test_a_rollout_that_never_ends_is_given_up():
    state = step(START, Submit("a"), 0.0, QUEUEING).state
    outcome = step(state, Observe("a", Health.UNSURE, 0), 100.5, QUEUEING)
    assert [each.what for each in outcome.transitions] == ["expired"]
    assert not outcome.state.blocks("a", 101.0)


def test_a_bad_stable_goes_back_to_the_last_good_version_and_never_blocks_its_fix():
    state = replace(START, stable="c", history=("base", "a", "b"))
    state = step(state, Block("b", "bad"), 1.0, QUEUEING).state
    state = step(state, Submit("fix"), 2.0, QUEUEING).state
    outcome = step(state, Block("c", "bad"), 3.0, QUEUEING)
    assert outcome.state.stable == "a"
    assert outcome.state.history == ("base",)
    assert outcome.state.rollout.policy == "fix"
    assert step(outcome.state, Block("a", "bad"), 4.0, QUEUEING).state.stable == "base"


def test_a_version_that_comes_back_is_not_its_own_predecessor():
    state = replace(START, stable="b", history=("base", "a"))
    state = step(state, Submit("a"), 0.0, QUEUEING).state
    for second in range(1, 4):
        state = step(state, Promote(), float(second), QUEUEING).state
    assert (state.stable, state.history) == ("a", ("base", "b"))
    assert step(state, Rollback(), 9.0, QUEUEING).state.stable == "b"


def test_a_blacklisting_may_end():
    settings = replace(QUEUEING, breach_blocks_s=10.0)
    state = step(START, Submit("a"), 0.0, settings).state
    state = step(state, Observe("a", Health.BREACH, 9), 1.0, settings).state
    assert step(state, Submit("a"), 10.9, settings).refused == "a is blacklisted"
    assert step(state, Submit("a"), 11.0, settings).state.rollout.policy == "a"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Stage("x", 1.2, 0.0, 0), "share of x is 1.2"),
        (lambda: Stage("x", 0.1, -1.0, 0), "bake_s of x"),
        (lambda: Stage("x", 0.1, 0.0, -1), "samples of x"),
        (lambda: RolloutSettings(stages=STAGES[:2]), "end at 1"),
        (lambda: RolloutSettings(stages=STAGES[::-1]), "never fall"),
        (lambda: RolloutSettings(longest_s=0.0), "longest_s is 0.0"),
    ],
)
def test_wrong_settings_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
