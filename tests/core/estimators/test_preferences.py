"""Gains over held-out rows, and what length alone explains of them."""

import numpy as np
import pytest

from shared.core.estimators.preferences import answers, pairs

QUESTIONS = np.arange(400, dtype=np.uint64)


def lengths(seed: int, low: int = 10, high: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, 400).astype(float)


def test_a_gain_is_the_difference_of_means_with_its_paired_interval() -> None:
    draw = np.random.default_rng(0)
    level = 10 * draw.standard_normal(400)
    before, after = level, level + 0.5 + draw.standard_normal(400)
    found = answers(before, after, lengths(1), lengths(2), QUESTIONS)
    assert found.gain.value == pytest.approx(after.mean() - before.mean())
    half = 1.96 * (after - before).std() / 20
    assert found.gain.interval.high - found.gain.interval.low == pytest.approx(2 * half, rel=0.1)
    assert found.value.value - found.baseline.value == pytest.approx(found.gain.value)


def test_a_gain_of_length_alone_is_none_at_equal_length() -> None:
    """Each token is worth .1; answers grew by ten."""
    draw = np.random.default_rng(0)
    short, long = lengths(1), lengths(2, 20, 40)
    before, after = (0.1 * each + 0.2 * draw.standard_normal(400) for each in (short, long))
    found = answers(before, after, short, long, QUESTIONS)
    assert found.gain.interval.low > 0.8
    assert found.at_equal_length.interval.low < 0 < found.at_equal_length.interval.high
    assert found.at_equal_length.value == pytest.approx(0.0, abs=0.05)


def test_what_is_better_at_equal_length_stays() -> None:
    draw = np.random.default_rng(0)
    short, long = lengths(1), lengths(2, 20, 40)
    before = 0.1 * short + 0.2 * draw.standard_normal(400)
    after = 0.1 * long + 0.5 + 0.2 * draw.standard_normal(400)
    found = answers(before, after, short, long, QUESTIONS)
    assert found.at_equal_length.value == pytest.approx(0.5, abs=0.08)
    assert found.at_equal_length.interval.low > 0.3


def test_lengths_that_never_vary_explain_nothing() -> None:
    before, after = np.zeros(400), np.ones(400)
    same = np.full(400, 9.0)
    found = answers(before, after, same, same, QUESTIONS)
    assert found.at_equal_length.value == found.gain.value == 1.0


def test_rows_of_one_question_count_as_one() -> None:
    draw = np.random.default_rng(3)
    before, after = draw.standard_normal(400), draw.standard_normal(400)
    asked = [np.repeat(each, 8) for each in (before, after, lengths(1), lengths(2))]
    once = answers(before, after, lengths(1), lengths(2), QUESTIONS).gain
    copied = answers(*asked, np.repeat(QUESTIONS, 8)).gain
    assert copied.rows == 3200
    assert copied.units == once.units > 390  # by hash: a few share a group
    width, other = (each.interval.high - each.interval.low for each in (once, copied))
    assert other == pytest.approx(width, rel=0.1)


def test_pairs_won_where_the_preferred_answer_is_longer_are_no_gain_at_equal_length() -> None:
    """A model that prefers longer answers, where those are preferred more often than not."""
    draw = np.random.default_rng(4)
    longer = draw.normal(8.0, 8.0, 400)
    base = (draw.random(400) < 0.5).astype(float)
    by_length = (longer > 0).astype(float)
    content = np.where(draw.random(400) < 0.8, 1.0, base)
    of_length, of_content = (pairs(each, base, longer, QUESTIONS) for each in (by_length, content))
    assert of_length.gain.interval.low > 0.2
    assert of_length.at_equal_length.value < 0.5 * of_length.gain.value
    assert of_content.at_equal_length.value == pytest.approx(of_content.gain.value, abs=0.06)
    assert of_content.at_equal_length.interval.low > 0.2
