"""An arm that is reset knows what its later decisions taught, to the bit, whenever the reset is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.policies.configuration import PolicyConfiguration
from shared.core.policies.learner import BLOCK, Learner
from shared.core.policies.rows import Rows
from shared.core.policies.solving import solve
from tests.core.examples import some_rows, teach

LINEAR = PolicyConfiguration(map="linear", scaling_rows=32)
FORGETTING = PolicyConfiguration(map="linear", scaling_rows=32, half_life_s=86_400.0)
BETA = PolicyConfiguration(kind="thompson_beta")
START, HOUR = 1_700_000_000_000, 3_600_000
ARM = 2
SUMS = ("curvature", "moment", "count")


def log(n: int, seed: int = 0) -> Rows:
    """Rows of decisions in the order of the log, a tenth of them corrections of an hour before."""
    rows = some_rows(n, seed=seed, corrections=False)
    fresh = np.arange(n) % 10 != 9
    times = START + np.arange(n) * 60_000 - np.where(fresh, 0, HOUR)
    return Rows.of(rows.contexts, rows.actions, rows.rewards, fresh, times)


ROWS = log(2 * BLOCK + 150)


def learner(configuration: PolicyConfiguration = LINEAR) -> Learner:
    return Learner(configuration, width=3, actions=4)


def scaled(state: Learner) -> Learner:
    scaling = state.propose_scaling()
    if scaling is not None:
        state.set_scaling(scaling)
    return state


def after(configuration: PolicyConfiguration, row: int, asked_ms: int = 1) -> Learner:
    """A learner of all rows that was asked for a reset after so many of them."""
    state = scaled(teach(learner(configuration), ROWS[:row]))
    assert state.reset(ARM, asked_ms)
    return scaled(teach(state, ROWS[row:]))


@pytest.mark.parametrize("configuration", [LINEAR, FORGETTING, BETA])
@pytest.mark.parametrize("row", [0, 10, BLOCK - 1, BLOCK + 70, len(ROWS)])
def test_only_later_decisions_of_the_arm_count(configuration: PolicyConfiguration, row: int) -> None:
    state = after(configuration, row)
    (reset,) = state.resets
    assert (reset.action, reset.row) == (ARM, row)
    kept = (ROWS.actions != ARM) | (ROWS.times >= reset.since_ms)
    assert not kept.all() or row == 0
    assert (ROWS.times[:row] < reset.since_ms).all()
    wanted = learner(configuration)
    if state.scaling is not None:
        wanted.set_scaling(state.scaling)
    teach(wanted, ROWS[kept])
    found, sums = state.statistics, wanted.statistics
    half_life = configuration.half_life_ms
    reference = 64 * found.latest_ms // half_life if half_life else 0
    for name in SUMS:
        one, other = (getattr(each, name) * each.factor(reference) for each in (found, sums))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    assert state.learnt == found.rows.sum() == len(ROWS) + 1


def test_a_correction_of_an_earlier_decision_changes_nothing() -> None:
    state = after(BETA, len(ROWS))
    last = ROWS[-1:]
    for time, fresh, count in ((START, 0, 0), (START, 1, 0), (int(ROWS.times.max()) + 1, 1, 1)):
        state.learn(last.contexts, np.array([ARM]), np.array([0.5]), np.array([fresh]), np.array([time]))
        found = state.statistics
        assert (found.count[ARM], found.moment[ARM, 0]) == (count, 0.5 * count)


@settings(max_examples=30)
@given(row=st.integers(0, len(ROWS)), known=st.floats(0, 1), data=st.data())
@pytest.mark.parametrize("configuration", [LINEAR, FORGETTING])
def test_a_replay_that_knows_it_earlier_has_the_same_bytes(
    configuration: PolicyConfiguration, row: int, known: float, data: st.DataObject
) -> None:
    asked = START + data.draw(st.integers(0, len(ROWS))) * 60_000
    state = after(configuration, row, asked)
    again, early = learner(configuration), int(known * row)
    assert state.scaling is not None
    again.set_scaling(state.scaling)
    teach(again, ROWS[:early])
    again.repeat(state.resets[0])
    teach(again, ROWS[early:])
    assert again.to_bytes() == state.to_bytes()


def test_it_survives_its_snapshot_and_a_request_counts_once() -> None:
    state = after(LINEAR, 300, START + 5)
    restored = Learner.from_bytes(state.to_bytes())
    assert restored.to_bytes() == state.to_bytes()
    assert not restored.reset(ARM, START + 5)
    assert not restored.reset(ARM, START)
    assert restored.reset(ARM, START + 6)
    assert restored.reset(ARM - 1, START + 5)
    assert [each.row for each in restored.resets] == [300, len(ROWS), len(ROWS)]
    more = log(50, seed=3)
    assert teach(restored, more).statistics.count[ARM] == 0  # none of them is later than what was learnt


def test_a_model_solved_anew_knows_the_arm_no_more() -> None:
    one, other = scaled(teach(learner(), ROWS)), teach(learner(), log(40, seed=1))
    assert one.scaling is not None
    other.set_scaling(one.scaling)
    before = solve([one, other])
    for each in (one, other):
        each.reset(ARM, int(ROWS.times.max()))
    now, anew = solve([one, other], before), solve([one, other])
    assert not now.coefficients[ARM].any()
    assert now.count[ARM] == 0
    assert now.learnt == before.learnt + 2
    np.testing.assert_allclose(now.coefficients, anew.coefficients, rtol=1e-9)
    rest = np.arange(4) != ARM
    np.testing.assert_allclose(now.coefficients[rest], before.coefficients[rest], rtol=1e-9)
    assert now.covariance is not None
    assert anew.covariance is not None
    np.testing.assert_allclose(now.covariance, anew.covariance, rtol=1e-9, atol=1e-12)


def test_an_arm_that_earned_nothing_is_as_uncertain_as_a_new_one() -> None:
    state = learner()
    rows = Rows.of(ROWS.contexts, ROWS.actions, np.zeros(len(ROWS)), ROWS.fresh, ROWS.times)
    teach(state, rows)
    before = solve([scaled(state)])
    state.reset(ARM, 1)
    now = solve([state], before)
    assert now.covariance is not None
    np.testing.assert_allclose(now.covariance[ARM], np.eye(4) / LINEAR.ridge)


def test_arms_without_statistics_of_their_own_are_refused() -> None:
    shared = Learner(LINEAR, width=3, action_width=2)
    for state, action in ((shared, 0), (learner(), 4), (learner(), -1)):
        with pytest.raises(ValueError, match=f"no action {action} with statistics of its own"):
            state.reset(action, 1)


def test_rows_tracked_for_a_delta_are_let_go_of() -> None:
    state = Learner(LINEAR, width=3, actions=4, track_deltas=True)
    teach(state, ROWS[:20])
    state.reset(ARM, 1)
    assert state.drain_delta() is None
