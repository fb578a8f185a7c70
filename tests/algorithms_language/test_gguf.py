"""GGUF files are read by llama.cpp as transformers reads the model, and write the same."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.export.architecture import read_llama
from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.exporting import export_gguf, export_modelfile, export_onnx
from shared.algorithms.export.quantisation import QUANTISATIONS, quantisation
from shared.algorithms.export.vocabulary import PATTERNS, read_vocabulary
from tests.algorithms_language import tiny

PROMPTS = ["Once upon a time", "Größe, naïve — 42 % of “all”\n\n  two", "Lily said: "]


def quiet(what: str) -> None:
    """Nobody listens."""


def write(folder: Path, target: Path, kind: str) -> Path:
    from shared.algorithms.export.gguf_file import write_gguf

    write_gguf(folder, target, QUANTISATIONS[kind], "tiny")
    return target


def test_the_real_llama_writes_the_same_greedy_tokens_at_every_size(tmp_path: Path) -> None:
    from shared.algorithms.export.checking import parity

    sizes = {}
    for kind in ("f32", "q8_0", "q4_0"):
        file = write(tiny.LLAMA, tmp_path / f"{kind}.gguf", kind)
        sizes[kind] = file.stat().st_size
        found = parity(tiny.LLAMA, file, PROMPTS, 24)
        assert found.tokens == 72
        assert found.share >= {"f32": 0.98, "q8_0": 0.9, "q4_0": 0.3}[kind], kind
    assert sizes["q4_0"] < sizes["q8_0"] < sizes["f32"] / 2


def test_heads_are_laid_out_as_llama_cpp_rotates_them() -> None:
    from shared.algorithms.export.gguf_file import interleaved

    rows = np.arange(8, dtype=np.float32)
    assert interleaved(rows, 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert interleaved(rows.reshape(8, 1), 1)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def made_llama(folder: Path, tokenizer: Any, **more: Any) -> Path:
    """A Llama of random weights, whose greedy tokens are far apart enough to be compared."""
    import torch
    import transformers

    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.4,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings | more))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "more",
    [
        {"attention_bias": True, "head_dim": 32, "tie_word_embeddings": False},
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 100.0, "factor": 4.0}},
    ],
    ids=["biases and wide heads", "rope of Llama 3", "linear rope"],
)
def test_variants_of_the_architecture(more: dict[str, Any], tmp_path: Path) -> None:
    from shared.algorithms.export.checking import parity
    from shared.algorithms.language import models

    folder = made_llama(tmp_path / "model", models.tokenizer(tiny.LLAMA), **more)
    file = write(folder, tmp_path / "made.gguf", "f32")
    assert parity(folder, file, PROMPTS, 16).share > 0.95


def test_a_byte_level_tokeniser_splits_as_llama_3_does(tmp_path: Path) -> None:
    import transformers
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    from shared.algorithms.export.checking import parity

    pattern = next(regex for regex, name in PATTERNS.items() if name == "llama-bpe")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(tiny.real_pairs()["chosen"].to_list(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 0)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>"
    )
    folder = made_llama(tmp_path / "model", fast)
    file = write(folder, tmp_path / "made.gguf", "f32")
    assert parity(folder, file, [*PROMPTS, "It's 12345 o'clock\n\nnow"], 16).share > 0.95


def test_scores_follow_the_order_of_merges() -> None:
    vocabulary = read_vocabulary(tiny.LLAMA, 512)
    place = {token: i for i, token in enumerate(vocabulary.tokens)}
    assert vocabulary.scores[place["▁t"]] == -1 > vocabulary.scores[place["he"]]
    assert vocabulary.special == {"bos": 1, "eos": 2, "unk": 0, "pad": 0}
    assert vocabulary.adds_bos
    assert vocabulary.adds_space


def test_a_candidates_adapter_is_merged_and_checked(
    candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:
    made = candidate("dpo")
    report = export_modelfile(made, tmp_path, "f32", None, True, quiet)
    file = Path(report["file"])
    assert report["greedy"]["share"] > 0.97
    assert (tmp_path / "Modelfile").read_text() == (
        f"FROM ./{file.name}\nPARAMETER temperature 0.1\nPARAMETER num_ctx 2048\n"
        'TEMPLATE """{{ .Prompt }}\n"""\n'
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["Modelfile", file.name])
    plain = write(tiny.LLAMA, tmp_path / "base.gguf", "f32")
    assert file.read_bytes()[-100_000:] != plain.read_bytes()[-100_000:]


def test_an_adapter_is_not_merged_into_another_base(
    candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny.LLAMA, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(NotExportable, match=r"holds other weights .* than those that were adapted"):
        export_gguf(candidate("dpo"), tmp_path / "out", "q8_0", str(other), False, quiet)
    assert not list((tmp_path / "out").iterdir())


def test_a_reward_model_is_not_exported_as_one_that_writes(
    candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:
    with pytest.raises(NotExportable, match="architecture LlamaForSequenceClassification"):
        export_gguf(candidate("reward_model"), tmp_path, "q8_0", None, False, quiet)
    with pytest.raises(NotExportable, match="hold no ONNX"):
        export_onnx(candidate("reward_model"), tmp_path)


def test_a_file_that_reads_a_prompt_otherwise_is_refused(tmp_path: Path) -> None:
    from shared.algorithms.export.checking import parity

    folder = tmp_path / "other"
    shutil.copytree(tiny.LLAMA, folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    file = write(folder, tmp_path / "made.gguf", "f32")
    with pytest.raises(NotExportable, match="as tokens"):
        parity(tiny.LLAMA, file, PROMPTS, 4)


def test_a_broken_file_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    from shared.algorithms.export.generating import generate

    whole = write(tiny.LLAMA, tmp_path / "whole.gguf", "q8_0").read_bytes()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotExportable, match=r"llama\.cpp cannot use it"):
        generate(broken, PROMPTS, 4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architectures": ["PhiForCausalLM"]}, "architecture PhiForCausalLM"),
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type yarn, not one of"),
    ],
)
def test_other_architectures_are_refused_by_name(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    config = json.loads((tiny.LLAMA / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(NotExportable, match=reason):
        read_llama(tmp_path)


def test_kinds_that_others_make_say_who(
    candidate: Callable[[str], Artefact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotExportable, match=r"q3_k_m needs llama\.cpp's llama-quantize, which is not on"):
        export_gguf(candidate("dpo"), tmp_path / "out", "q3_k_m", None, False, quiet)
    with pytest.raises(NotExportable, match="let Ollama quantise it"):
        export_gguf(candidate("dpo"), tmp_path / "out", "q4_k_m", None, False, quiet)
    with pytest.raises(NotExportable, match="'q9' is not one of f32, f16, q8_0"):
        quantisation("q9")


@pytest.fixture
def quantiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A llama-quantize on PATH that copies, notes its arguments, and fails on Q5_K_M."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "llama-quantize"
    program.write_text(
        '#!/bin/sh\necho "$3" > "$(dirname "$0")/asked"\n'
        'if [ "$3" = Q5_K_M ]; then echo "no such type" >&2; exit 3; fi\ncp "$1" "$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_llama_cpps_quantiser_is_called_where_it_is(
    candidate: Callable[[str], Artefact], quantiser: Path, tmp_path: Path
) -> None:
    report = export_gguf(candidate("dpo"), tmp_path / "out", "q4_k_m", None, True, quiet)
    assert (quantiser / "asked").read_text() == "Q4_K_M\n"
    assert report["file"].endswith("-q4_k_m.gguf")
    assert report["greedy"]["share"] > 0.9
    with pytest.raises(NotExportable, match="llama-quantize failed with status 3: no such type"):
        export_gguf(candidate("dpo"), tmp_path / "out", "q5_k_m", None, True, quiet)
    assert len(list((tmp_path / "out").iterdir())) == 1
