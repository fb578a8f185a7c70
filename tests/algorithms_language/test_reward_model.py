"""The reward model learns from pairs and labels, says how well, and refuses what cannot teach."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shared.algorithms.artefacts import Artefact, ArtefactError, load
from shared.algorithms.contract import NotTrainable
from shared.algorithms.language.folders import MissingModel, model_folder
from shared.algorithms.language.samples import framed
from shared.algorithms.language.statistics import wilson
from shared.algorithms.reward_model.declaration import PRESETS
from shared.algorithms.reward_model.samples import length_baseline, samples
from tests.algorithms_language import tiny


def test_the_defaults_are_the_specified_ones() -> None:
    default = PRESETS["default"]
    assert (default.epochs, default.batch_size, default.learning_rate) == (3, 8, 2e-5)
    assert default.base_model == "deberta-v3-base"


def test_what_a_text_is_framed_in() -> None:
    assert framed("Why?", "So.") == "Query: Why?\nResponse: So."


def test_it_learns_a_rule_from_pairs_and_labels(candidate: Callable[[str], Artefact]) -> None:
    metrics = candidate("reward_model").manifest.metrics
    assert metrics["accuracy"] > 0.85
    assert metrics["label_accuracy"] > 0.85
    assert metrics["accuracy_low"] < metrics["accuracy"] <= metrics["accuracy_high"]
    assert metrics["length_accuracy"] < metrics["accuracy"]


def test_scores_are_above_zero_for_what_is_liked(
    candidate: Callable[[str], Artefact],
) -> None:
    from shared.algorithms.language.scoring import Scorer

    scorer = Scorer.load(candidate("reward_model").folder)
    query = "What did Zoe do?"
    liked, disliked = scorer.score([framed(query, tiny.LIKED), framed(query, tiny.DISLIKED)])
    assert liked > 0 > disliked


def test_scores_do_not_depend_on_what_is_scored_beside(candidate: Callable[[str], Artefact]) -> None:
    from shared.algorithms.language.scoring import Scorer

    scorer = Scorer.load(candidate("reward_model").folder)
    texts = [framed("Why?", "word " * count) for count in (1, 30, 4, 12)]
    assert scorer.score(texts) == pytest.approx(
        np.array([scorer.score([text])[0] for text in texts]), abs=1e-5
    )


def test_on_pairs_alone_it_trains_as_trl_does(tmp_path: Path) -> None:
    import torch

    from shared.algorithms.language import models
    from shared.algorithms.language.training import arguments, workspace
    from shared.algorithms.reward_model.train import fit
    from tests.algorithms_language.bare import reward_model

    data = replace(tiny.dataset("reward_model"), tables={"preferences": tiny.ruled_pairs(24)})
    chosen = tiny.parameters("reward_model", epochs=1)
    drawn = samples(data, chosen.held_out, chosen.min_samples, 1)
    tokenizer = models.tokenizer(tiny.LLAMA)
    with workspace(1) as scratch:
        ours = models.scalar(tiny.LLAMA, tokenizer.pad_token_id)
        fit(ours, tokenizer, drawn, chosen, 1, scratch, tiny.silent)
    with workspace(1) as scratch:
        theirs = models.scalar(tiny.LLAMA, tokenizer.pad_token_id)
        reward_model(theirs, tokenizer, drawn.pairs, chosen, arguments(1, scratch)).train()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)


def test_queries_are_held_out_whole() -> None:
    data = tiny.dataset("reward_model", feedback=tiny.feedback(60))
    drawn = samples(data, 0.3, 10, 5)
    seen = {*drawn.pairs["query"], *drawn.labels["query"]}
    held = {*drawn.held_pairs["query"], *drawn.held_labels["query"]}
    assert held
    assert not seen & held
    assert drawn.held_labels.height + drawn.labels.height == 60


def test_length_alone_is_measured_with_the_direction_that_training_shows() -> None:
    train = pl.DataFrame({"chosen": ["a", "bb"], "rejected": ["aaa", "bbbb"]})
    held = pl.DataFrame({"chosen": ["a", "aaa", "xx"], "rejected": ["aa", "a", "yy"]})
    assert length_baseline(train, held).value == 0.5


def test_wilsons_interval() -> None:
    found = wilson(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({}, "preferences and feedback: 0 samples together, where min_samples asks for 10"),
        ({"preferences": tiny.ruled_pairs(4)}, "4 samples together"),
        (
            {"feedback": tiny.feedback().with_columns(positive=pl.lit(True))},
            "one-sided, 38 of 38 labels to train on are positive",
        ),
        (
            {"preferences": tiny.ruled_pairs().with_columns(chosen=pl.lit("a"), rejected=pl.lit("b"))},
            "one-sided, all 48 pairs",
        ),
        (
            {"preferences": tiny.ruled_pairs().with_columns(rejected=pl.col("chosen"))},
            "chosen and rejected are the same in 48 rows, the first of them row 0",
        ),
        ({"preferences": tiny.ruled_pairs().with_columns(query=pl.lit(" "))}, r"preferences.query: empty"),
        ({"preferences": tiny.ruled_pairs().with_columns(query=pl.lit("one"))}, "1 question"),
        ({"preferences": tiny.ruled_pairs().drop("chosen")}, "column chosen missing"),
    ],
)
def test_data_that_cannot_teach_are_refused(
    tables: dict[str, pl.DataFrame], reason: str, tmp_path: Path
) -> None:
    from shared.algorithms.reward_model.train import train

    data = replace(tiny.dataset("reward_model"), tables=tables)
    with pytest.raises(NotTrainable, match=reason):
        train(data, tiny.parameters("reward_model"), 1, tmp_path, tiny.silent)
    assert not list(tmp_path.iterdir())


def test_a_model_is_looked_for_in_folders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMWHEEL_MODELS", str(tmp_path / "store"))
    with pytest.raises(MissingModel, match=r"base_model: there is no folder .*deberta.* and .*store/deberta"):
        model_folder("deberta-v3-base")
    folder = tmp_path / "store" / "deberta-v3-base"
    folder.mkdir(parents=True)
    with pytest.raises(MissingModel, match=r"has no config\.json"):
        model_folder("deberta-v3-base")
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(MissingModel, match="pickled weights are not read"):
        model_folder("deberta-v3-base")
    (folder / "model.safetensors").write_bytes(b"")
    assert model_folder("deberta-v3-base") == folder


def test_a_tampered_artefact_does_not_load(candidate: Callable[[str], Artefact], tmp_path: Path) -> None:
    made = candidate("reward_model")
    copy = tmp_path / made.id
    copy.mkdir()
    for file in made.folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert load(copy).id == made.id
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    with pytest.raises(ArtefactError, match=r"model\.safetensors: is not the file of the manifest"):
        load(copy)
