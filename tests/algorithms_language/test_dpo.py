"""Direct preference optimisation: presets, what it learns, its adapter, and what it refuses."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.contract import NotTrainable
from shared.algorithms.dpo.declaration import PRESETS
from shared.algorithms.dpo.samples import pairs, prompt_text
from shared.algorithms.language.folders import weights_digest
from tests.algorithms_language import tiny


def test_presets_are_the_specified_ones() -> None:
    default = PRESETS["default"]
    assert (default.lora_r, default.lora_alpha, default.learning_rate) == (16, 32, 5e-5)
    assert (default.beta, default.epochs, default.batch_size, default.min_samples) == (0.1, 3, 4, 50)
    assert PRESETS["small_gpu"].batch_size == 2
    assert PRESETS["high_quality"].epochs == 5
    assert PRESETS["high_quality"].lora_r > default.lora_r


def test_it_learns_what_the_base_does_not_know(candidate: Callable[[str], Artefact]) -> None:
    metrics = candidate("dpo").manifest.metrics
    assert metrics["accuracy"] > 0.85
    assert metrics["accuracy_gain"] == pytest.approx(metrics["accuracy"] - metrics["base_accuracy"])
    assert metrics["accuracy_low"] < metrics["accuracy"] <= metrics["accuracy_high"]
    assert metrics["reward_accuracy"] > 0.85
    assert metrics["held_out_questions"] >= 2


def test_the_artefact_is_an_adapter_that_names_its_base(candidate: Callable[[str], Artefact]) -> None:
    made = candidate("dpo")
    files = {"adapter_config.json", "adapter_model.safetensors", "base.json", "held_out.json"}
    assert set(made.manifest.files) == files
    base = json.loads(made.file("base.json").read_text())
    assert base == {"base_model": str(tiny.LLAMA), "weights_sha256": weights_digest(tiny.LLAMA)}
    targets = json.loads(made.file("adapter_config.json").read_text())["target_modules"]
    assert targets == sorted(targets)


def test_equal_seeds_give_the_same_adapter(candidate: Callable[[str], Artefact], tmp_path: Path) -> None:
    assert tiny.trained("dpo", tmp_path).id == candidate("dpo").id


def test_the_base_is_compared_only_if_asked_for(tmp_path: Path) -> None:
    from shared.algorithms.dpo.train import train

    chosen = tiny.parameters("dpo", epochs=1, compare_base=False)
    metrics = train(tiny.dataset("dpo"), chosen, 1, tmp_path, tiny.silent)
    assert "accuracy" in metrics
    assert not [name for name in metrics if "base" in name or "gain" in name or "reward" in name]


def test_a_dry_run_reports_the_split_by_question() -> None:
    from shared.algorithms.dpo.train import summary

    found = summary(tiny.dataset("dpo"), tiny.parameters("dpo"))
    assert found == {"train_pairs": 36, "held_out_pairs": 12, "train_questions": 36, "held_out_questions": 12}


def test_pairs_of_a_question_stay_together() -> None:
    frame = tiny.tables("dpo")["preferences"].with_columns(
        question_id=(pl.int_range(pl.len()) // 6).cast(pl.String)
    )
    for seed in range(5):
        drawn = pairs(tiny.dataset("dpo", preferences=frame), tiny.parameters("dpo"), seed)
        assert not {*drawn.train["question_id"]} & {*drawn.held["question_id"]}
        assert drawn.held.height == 12


def test_too_few_pairs_are_refused(tmp_path: Path) -> None:
    from shared.algorithms.dpo.train import train

    with pytest.raises(NotTrainable, match="48 pairs, where min_samples asks for 50"):
        train(tiny.dataset("dpo"), tiny.parameters("dpo", min_samples=50), 1, tmp_path, tiny.silent)
    none = replace(tiny.dataset("dpo"), tables={"preferences": tiny.tables("dpo")["preferences"].clear()})
    with pytest.raises(NotTrainable, match="preferences: no rows"):
        train(none, tiny.parameters("dpo"), 1, tmp_path, tiny.silent)
    assert not list(tmp_path.iterdir())


def test_pairs_longer_than_the_model_reads_are_left_out_and_counted() -> None:
    from shared.algorithms.dpo.train import short_enough
    from shared.algorithms.language import models

    frame = tiny.tables("dpo")["preferences"].with_columns(
        chosen=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("happy " * 200)).otherwise("chosen")
    )
    chosen = tiny.parameters("dpo", max_length=128)
    drawn = pairs(tiny.dataset("dpo", preferences=frame), chosen, 1)
    tokenizer = models.tokenizer(tiny.LLAMA)
    kept = short_enough(drawn, tokenizer, chosen)
    assert kept.train.height + kept.held.height == 47
    with pytest.raises(NotTrainable, match="0 pairs to train on and 0 held out have at most max_length 8"):
        short_enough(drawn, tokenizer, tiny.parameters("dpo", max_length=8))


def test_an_answer_starts_on_its_own_line() -> None:
    assert prompt_text("User query: a") == prompt_text("User query: a\n") == "User query: a\n"
