"""Statistics are sums over the multiset of examples: order, cuts and partitions do not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.policies.rows import Rows
from shared.core.policies.statistics import Statistics, merged
from tests.core.examples import some_rows

DAY = 86_400_000
HALF_LIVES = [0, DAY, 1000 * DAY]


def learnt(rows: Rows, half_life_ms: int = 0, actions: int = 4) -> Statistics:
    statistics = Statistics(actions, rows.contexts.shape[1], half_life_ms)
    statistics.add(rows.contexts.astype(np.float64), rows.actions, rows.rewards, rows.fresh, rows.times)
    return statistics


def assert_same(left: Statistics, right: Statistics) -> None:
    assert left.latest_ms == right.latest_ms
    assert np.array_equal(left.rows, right.rows)
    for name in ("curvature", "moment", "count"):
        assert np.allclose(getattr(left, name), getattr(right, name), rtol=1e-9, atol=1e-9), name


def brute_force(rows: Rows, half_life_ms: int, action: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Curvature, moment and count at the time of the latest row, one row after the other."""
    size, latest = rows.contexts.shape[1], int(rows.times.max())
    curvature, moment, count = np.zeros((size, size)), np.zeros(size), 0.0
    for x, a, reward, fresh, time in zip(*(rows.arrays().values()), strict=True):
        weight = 2.0 ** (-(latest - int(time)) / half_life_ms) if half_life_ms else 1.0
        if a == action:
            x = x.astype(np.float64)
            moment += weight * reward * x
            curvature += weight * np.outer(x, x) * fresh
            count += weight * fresh
    return curvature, moment, count


@pytest.mark.parametrize("half_life_ms", HALF_LIVES)
def test_statistics_equal_the_sums_of_the_definition(half_life_ms):
    rows = some_rows(300)
    statistics = learnt(rows, half_life_ms)
    now = statistics.latest_ms * 64 / half_life_ms if half_life_ms else 0
    factor = statistics.factor(now)
    for action in range(4):
        curvature, moment, count = brute_force(rows, half_life_ms, action)
        assert np.allclose(statistics.curvature[action] * factor, curvature, rtol=1e-9)
        assert np.allclose(statistics.moment[action] * factor, moment, rtol=1e-9)
        assert statistics.count[action] * factor == pytest.approx(count, rel=1e-9)


@given(st.integers(0, 200), st.integers(0, 200), st.sampled_from(HALF_LIVES), st.integers(0, 99))
def test_merging_parts_in_any_order_equals_the_whole(first, second, half_life_ms, seed):
    rows = some_rows(200, seed=seed)
    low, high = sorted((first, second))
    parts = [
        learnt(rows[part], half_life_ms) for part in (slice(high, None), slice(0, low), slice(low, high))
    ]
    assert_same(merged(parts), learnt(rows, half_life_ms))


@given(st.randoms(use_true_random=False), st.sampled_from(HALF_LIVES))
def test_order_and_batches_do_not_matter(random, half_life_ms):
    rows = some_rows(100)
    order = list(range(100))
    random.shuffle(order)
    one_by_one = Statistics(4, 3, half_life_ms)
    for index in order:
        row = rows[np.array([index])]
        one_by_one.add(row.contexts.astype(np.float64), row.actions, row.rewards, row.fresh, row.times)
    assert_same(one_by_one, learnt(rows, half_life_ms))


@pytest.mark.parametrize("half_life_ms", HALF_LIVES)
def test_corrections_give_what_the_last_reward_alone_would(half_life_ms):
    final = some_rows(150, corrections=False)
    first = np.random.default_rng(1).random(150)
    revised = Rows.concat(
        [
            Rows.of(final.contexts, final.actions, first, final.fresh, final.times),
            Rows.of(final.contexts, final.actions, final.rewards - first, 0 * final.fresh, final.times),
        ]
    )
    corrected, direct = learnt(revised, half_life_ms), learnt(final, half_life_ms)
    assert np.allclose(corrected.moment, direct.moment, rtol=1e-9, atol=1e-9)
    assert np.array_equal(corrected.curvature, direct.curvature)
    assert np.array_equal(corrected.count, direct.count)
    assert corrected.rows.sum() == 300


def test_an_example_a_half_life_older_counts_half():
    rows = some_rows(1, actions=1, corrections=False)
    later = Rows.of(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times + DAY)
    both = learnt(Rows.concat([rows, later]), DAY, actions=1)
    only = learnt(later, DAY, actions=1)
    assert np.allclose(both.moment, 1.5 * only.moment, rtol=1e-12)


def test_what_is_ages_old_is_forgotten_without_overflow():
    rows = some_rows(50, corrections=False)
    later = Rows.of(rows.contexts, rows.actions, rows.rewards, rows.fresh, rows.times + 9000 * DAY)
    for order in ((rows, later), (later, rows)):
        both = merged([learnt(part, DAY) for part in order])
        for name in ("curvature", "moment", "count"):
            assert np.array_equal(getattr(both, name), getattr(learnt(later, DAY), name))


@pytest.mark.parametrize("half_life_ms", HALF_LIVES)
def test_bytes_restore_statistics_to_the_bit(half_life_ms):
    statistics = learnt(some_rows(64), half_life_ms)
    restored = Statistics.from_bytes(statistics.to_bytes())
    assert_same(restored, statistics)
    for name in ("curvature", "moment", "count", "rows"):
        assert np.array_equal(getattr(restored, name), getattr(statistics, name))
    assert restored.to_bytes() == statistics.to_bytes()


def test_bytes_hold_each_symmetric_matrix_once():
    size, actions = 60, 10
    raw = Statistics(actions, size).to_bytes()
    assert len(raw) < 8 * actions * (size * (size + 1) // 2 + size + 2) + 400


def test_other_shapes_are_not_merged():
    with pytest.raises(ValueError, match="shape"):
        Statistics(2, 3).merge(Statistics(3, 3))
    with pytest.raises(ValueError, match="half-life"):
        Statistics(2, 3).merge(Statistics(2, 3, DAY))
