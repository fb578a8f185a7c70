"""The learner's state is a pure function of the rows, however they come and travel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.policies.configuration import PolicyConfiguration
from shared.core.policies.learner import BLOCK, DeltaGap, Learner
from shared.core.policies.rows import Rows
from shared.core.policies.statistics import merged
from tests.core.examples import some_rows, teach

CONFIGURATION = PolicyConfiguration(map="linear", scaling_rows=32, half_life_s=86_400.0)
ROWS = some_rows(3 * BLOCK + 100)


def learner(track_deltas: bool = False) -> Learner:
    return Learner(CONFIGURATION, width=3, actions=4, track_deltas=track_deltas)


def scaled(*cuts: int) -> Learner:
    state = teach(learner(), ROWS, *cuts)
    proposal = state.propose_scaling()
    assert proposal is not None
    state.set_scaling(proposal)
    return state


def test_rows_wait_for_the_scaling_and_none_is_lost():
    early, late = learner(), teach(learner(), ROWS)
    assert late.pending == len(ROWS)
    with pytest.raises(ValueError, match="wait for the scaling"):
        _ = late.statistics
    teach(early, ROWS[:60])
    scaling = early.propose_scaling()
    assert scaling is not None
    early.set_scaling(scaling)
    teach(early, ROWS[60:])
    late.set_scaling(scaling)
    assert early.pending == late.pending == 0
    assert early.to_bytes() == late.to_bytes()


def test_the_scaling_comes_from_the_first_fresh_rows_whatever_the_batches():
    few = teach(learner(), ROWS[:20])
    assert few.propose_scaling() is None
    assert teach(learner(), ROWS[:60]).propose_scaling() == teach(learner(), ROWS, 7, 33).propose_scaling()


def test_another_scaling_is_refused_and_the_same_accepted():
    state = scaled()
    state.set_scaling(state.scaling)
    other = teach(learner(), some_rows(60, seed=9)).propose_scaling()
    with pytest.raises(ValueError, match="another scaling"):
        state.set_scaling(other)


@settings(max_examples=30)
@given(st.lists(st.integers(0, len(ROWS)), max_size=8).map(sorted))
def test_the_state_is_the_same_to_the_bit_however_the_log_is_cut(cuts):
    assert scaled(*cuts).to_bytes() == scaled().to_bytes()


def test_partitions_merge_to_the_whole():
    whole = scaled()
    parts = [learner() for _ in range(3)]
    for index, part in enumerate(parts):
        teach(part, ROWS[np.arange(index, len(ROWS), 3)])
        part.set_scaling(whole.scaling)
    total, once = merged([part.statistics for part in parts]), whole.statistics
    assert np.array_equal(total.rows, once.rows)
    for name in ("curvature", "moment", "count"):
        assert np.allclose(getattr(total, name), getattr(once, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("with_scaling", [False, True])
def test_a_restored_learner_goes_on_exactly_like_the_original(with_scaling):
    state = scaled(200) if with_scaling else teach(learner(), ROWS)
    restored = Learner.from_bytes(state.to_bytes())
    more = some_rows(500, seed=4)
    assert teach(restored, more).to_bytes() == teach(state, more).to_bytes()
    assert restored.learnt == len(ROWS) + 500


def test_deltas_bring_a_copy_to_the_state_of_the_source():
    source = learner(track_deltas=True)
    copy = Learner.from_bytes(source.to_bytes())
    for start in range(0, len(ROWS), 130):
        teach(source, ROWS[start : start + 130])
        if start == 260:
            source.set_scaling(source.propose_scaling())
            copy.set_scaling(source.scaling)
        delta = source.drain_delta()
        assert copy.apply_delta(delta) == len(ROWS[start : start + 130])
    assert source.drain_delta() is None
    assert copy.to_bytes() == source.to_bytes()


def test_a_delta_that_overlaps_adds_only_what_is_new_and_a_gap_is_an_error():
    source = learner(track_deltas=True)
    teach(source, ROWS[:50])
    snapshot = source.to_bytes()
    teach(source, ROWS[50:80])
    both = source.drain_delta()
    teach(source, ROWS[80:90])
    last = source.drain_delta()
    copy = Learner.from_bytes(snapshot)
    with pytest.raises(DeltaGap):
        copy.apply_delta(last)
    assert copy.apply_delta(both) == 30
    assert copy.apply_delta(both) == 0
    assert copy.apply_delta(last) == 10
    assert copy.to_bytes() == source.to_bytes()


def test_a_learner_that_nobody_drains_keeps_no_deltas():
    assert teach(learner(), ROWS).drain_delta() is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (some_rows(5, width=2), "wide"),
        (some_rows(50, actions=5), "indices"),
        (Rows.of(ROWS.contexts[:2], [0, -1], [0, 0], [1, 1], [0, 0]), "indices"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_learnt(rows, message):
    state = learner()
    with pytest.raises(ValueError, match=message):
        teach(state, rows)
    assert state.learnt == 0


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="length"):
        learner().learn(ROWS.contexts[:3], ROWS.actions[:2], ROWS.rewards[:3], ROWS.fresh[:3], ROWS.times[:3])


def test_a_caller_may_reuse_its_buffers():
    buffer = ROWS.contexts[:10].copy()
    state = learner()
    state.learn(buffer, ROWS.actions[:10], ROWS.rewards[:10], ROWS.fresh[:10], ROWS.times[:10])
    buffer[:] = 0
    assert np.array_equal(state.open_rows.contexts, ROWS.contexts[:10])


def test_beta_counts_need_no_scaling_and_no_features_of_actions():
    counts = Learner(PolicyConfiguration(kind="thompson_beta"), width=3, actions=4)
    teach(counts, ROWS)
    assert counts.pending == 0
    assert counts.statistics.curvature.ravel() == pytest.approx(counts.statistics.count)
    with pytest.raises(ValueError, match="thompson_beta"):
        Learner(PolicyConfiguration(kind="thompson_beta"), width=3, action_width=2)
