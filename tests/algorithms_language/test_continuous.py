"""The continuous learner: its buffer, and one round after another."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.algorithms.artefacts import train as make
from shared.algorithms.continuous.buffer import Buffer
from shared.algorithms.continuous.declaration import PRESETS, Parameters
from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.registry import algorithms
from tests.algorithms_language import tiny


def test_the_defaults_are_the_specified_ones() -> None:
    assert (PRESETS["default"].buffer, PRESETS["default"].new_samples) == (1000, 100)
    assert (Buffer().capacity, Buffer().new_samples) == (1000, 100)


def test_a_training_is_due_at_a_hundred_new_samples_one_at_a_time() -> None:
    buffer = Buffer().add(range(99))
    assert not buffer.due
    with pytest.raises(RuntimeError, match="99 of 100 are new"):
        buffer.start()
    buffer, taken = buffer.add([99]).start()
    assert taken == tuple(range(100))
    buffer = buffer.add(range(100, 220))
    assert not buffer.due
    with pytest.raises(RuntimeError, match="one is running"):
        buffer.start()
    buffer = buffer.finish(True)
    assert buffer.due
    assert buffer.unseen == 120


def test_what_a_failed_training_took_is_new_again() -> None:
    buffer, _ = Buffer(10, 5).add(range(6)).start()
    buffer = buffer.add([6]).finish(False)
    assert buffer.unseen == 7
    assert buffer.due
    with pytest.raises(RuntimeError, match="no training is running"):
        buffer.finish(True)


@given(some.lists(some.integers(0, 30), max_size=20))
def test_the_buffer_keeps_the_last_samples_and_counts_all_that_are_new(sizes: list[int]) -> None:
    buffer, count = Buffer(25, 10), 0
    for size in sizes:
        buffer = buffer.add(range(count, count + size))
        count += size
    assert buffer.samples == tuple(range(max(0, count - 25), count))
    assert buffer.unseen == count
    assert buffer.due == (count >= 10)


def test_a_threshold_above_the_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="new_samples 11 must be from 1 to the capacity, 10"):
        Buffer(10, 11)


SETTINGS: dict[str, Any] = {
    "reward_base_model": str(tiny.LLAMA),
    "base_model": str(tiny.LLAMA),
    "buffer": 40,
    "new_samples": 30,
    "reward_learning_rate": 3e-3,
    "reward_epochs": 1,
    "updates": 1,
    "response_length": 6,
}


def test_a_round_goes_on_from_the_one_before(tmp_path: Path) -> None:
    algorithm, chosen = algorithms()["continuous"], Parameters(**SETTINGS)
    data = Dataset("assistant", {"feedback": tiny.feedback(48)}, (tiny.SOURCE,))
    first = make(algorithm, data, chosen, 1, tmp_path, tiny.silent)
    assert {"policy/model.safetensors", "policy/report.json", "reward/reward.json"} <= set(
        first.manifest.files
    )
    metrics = first.manifest.metrics
    assert metrics["reward_model_train_labels"] + metrics["reward_model_held_out_labels"] == 40
    second = make(algorithm, replace(data, previous=first.folder), chosen, 1, tmp_path, tiny.silent)
    weights = "reward/model.safetensors"
    assert second.manifest.files[weights].sha256 != first.manifest.files[weights].sha256
    assert second.manifest.metrics["reward_model_loss"] < metrics["reward_model_loss"]


def test_too_few_samples_are_refused(candidate: Callable[[str], Any], tmp_path: Path) -> None:
    from shared.algorithms.continuous.train import train

    data = Dataset("assistant", {"feedback": tiny.feedback(29)}, (tiny.SOURCE,))
    with pytest.raises(NotTrainable, match="29 samples, where new_samples asks for 30"):
        train(data, Parameters(**SETTINGS), 1, tmp_path, tiny.silent)
    assert not list(tmp_path.iterdir())
