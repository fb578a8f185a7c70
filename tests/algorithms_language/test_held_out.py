"""The rows that candidates keep of what was measured: what their figures are made of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.contract import Dataset
from shared.algorithms.language import held_out
from shared.algorithms.language.held_out import Answers, Pairs
from shared.algorithms.ppo.declaration import Parameters
from tests.algorithms_language import tiny


def test_an_adapters_rows_give_its_accuracies(candidate: Callable[[str], Artefact]) -> None:
    made = candidate("dpo")
    rows, metrics = held_out.read(made.file(held_out.FILE)), made.manifest.metrics
    assert isinstance(rows, Pairs)
    assert np.mean(np.greater(rows.chosen, rows.rejected)) == pytest.approx(metrics["accuracy"])
    assert rows.base_chosen is not None
    assert rows.base_rejected is not None
    assert np.mean(np.greater(rows.base_chosen, rows.base_rejected)) == pytest.approx(
        metrics["base_accuracy"]
    )
    changed = (np.subtract(rows.chosen, rows.base_chosen), np.subtract(rows.rejected, rows.base_rejected))
    assert np.mean(np.greater(*changed)) == pytest.approx(metrics["reward_accuracy"])
    assert len(set(rows.question)) == metrics["held_out_questions"]


def test_a_reward_models_rows_give_its_accuracies(candidate: Callable[[str], Artefact]) -> None:
    made = candidate("reward_model")
    rows, metrics = held_out.read(made.file(held_out.FILE)), made.manifest.metrics
    assert isinstance(rows, Pairs)
    assert np.mean(np.greater(rows.chosen, rows.rejected)) == pytest.approx(metrics["accuracy"])
    longer = np.subtract(rows.chosen_length, rows.rejected_length) * (1 if rows.longer_wins else -1)
    right = (longer > 0) + 0.5 * (longer == 0)
    assert right.mean() == pytest.approx(metrics["length_accuracy"])


def test_a_policys_rows_give_its_gain_and_its_judges_are_beside_them(
    candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:
    from shared.algorithms.ppo.train import train

    scorer = candidate("reward_model")
    chosen = Parameters(
        reward_model=str(scorer.folder),
        base_model=str(tiny.LLAMA),
        updates=1,
        response_length=8,
        min_samples=10,
        held_out=0.25,
    )
    queries = pl.DataFrame({"query": tiny.queries(24)})
    out = tmp_path / "out"
    out.mkdir()
    metrics = train(Dataset("assistant", {"feedback": queries}, (tiny.SOURCE,)), chosen, 3, out, tiny.silent)
    rows = held_out.read(out / held_out.FILE)
    assert isinstance(rows, Answers)
    assert np.mean(rows.after) - np.mean(rows.before) == pytest.approx(metrics["gain"])
    assert np.mean(rows.after_length) == pytest.approx(metrics["length_after"])
    assert (rows.divergence, rows.largest_divergence) == (metrics["kl"], chosen.target_kl)
    assert (out / held_out.JUDGE).read_bytes() == scorer.file(held_out.FILE).read_bytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"chosen": [1.0]}, "chosen has 1 rows, question 2"), ({"rejected": [float("nan"), 1.0]}, "finite")],
)
def test_rows_that_do_not_fit_are_named(change: dict[str, object], words: str) -> None:
    sound = {
        "question": [0, 1],
        "chosen": [1.0, 2.0],
        "rejected": [0.0, 1.0],
        "chosen_length": [3, 4],
        "rejected_length": [3, 4],
    }
    assert Pairs.model_validate(sound).longer_wins
    with pytest.raises(ValueError, match=words):
        Pairs.model_validate(sound | change)
