"""Metrics of products against their definitions, worked out row by row."""

import math

import numpy as np
import pytest

from shared.core.estimators.outcomes import (
    conversion,
    mean,
    ndcg_at,
    precision_at,
    preferred,
    reciprocal_rank,
    squared_error,
)

DRAW = np.random.default_rng(4)
RELEVANCE = DRAW.integers(0, 4, size=(60, 8)) * (DRAW.random((60, 8)) < 0.3)


def test_ranking_metrics_are_their_definitions() -> None:
    for row, rank, three, ndcg in zip(
        RELEVANCE.tolist(),
        reciprocal_rank(RELEVANCE),
        precision_at(RELEVANCE, 3),
        ndcg_at(RELEVANCE, 5),
        strict=True,
    ):
        places = [place for place, value in enumerate(row, 1) if value]
        assert rank == (1 / places[0] if places else 0)
        assert three == pytest.approx(sum(1 for place in places if place <= 3) / 3)

        def gain(values: list[float]) -> float:
            return sum((2**v - 1) / math.log2(n + 1) for n, v in enumerate(values[:5], 1))

        best = gain(sorted(row, reverse=True))
        assert ndcg == pytest.approx(gain(row) / best if best else 0.0)


def test_results_beyond_the_list_are_not_relevant() -> None:
    assert precision_at([[1, 1]], 4).tolist() == [0.5]
    assert ndcg_at([[0, 1]], 10) == pytest.approx(1 / math.log2(3))


def test_sessions_pairs_and_vectors() -> None:
    assert conversion([0, 2, 1]).tolist() == [0, 1, 1]
    assert preferred([1, 2, 3], [0, 2, 4]).tolist() == [1, 0.5, 0]
    assert squared_error([[1.0, 0.0]], [[0.0, 2.0]]).tolist() == [2.5]


def test_a_mean_lies_where_its_standard_error_says() -> None:
    values = DRAW.normal(size=4000)
    found = mean(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(4000)
    assert found.value == pytest.approx(values.mean())
    assert found.interval.high - found.value == pytest.approx(half, rel=0.08)
    assert (found.rows, found.units) == (4000, 4000)


def test_rows_of_one_subject_count_as_one() -> None:
    """Ten copies of each row tell nothing more."""
    values = DRAW.normal(size=400)
    subjects = np.arange(400, dtype=np.uint64)
    once = mean(values, subjects)
    copied = mean(np.repeat(values, 10), np.repeat(subjects, 10))
    alone = mean(np.repeat(values, 10))

    def width(figure):
        return figure.interval.high - figure.interval.low

    assert width(copied) == pytest.approx(width(once), rel=0.1)
    assert width(alone) < 0.5 * width(copied)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean([1.0, math.nan]), r"values\[1\]"),
        (lambda: conversion([math.inf]), r"purchases\[0\]"),
        (lambda: ndcg_at([[-1.0]], 1), "relevance"),
        (lambda: reciprocal_rank([1.0]), "relevance"),
        (lambda: precision_at([[1.0]], 0), "k is 0"),
        (lambda: squared_error([[1.0]], [[1.0, 2.0]]), "do not go with"),
        (lambda: preferred([1.0], [1.0, 2.0]), "do not go with"),
        (lambda: mean([]), "nothing to resample"),
    ],
)
def test_broken_input_is_named(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
