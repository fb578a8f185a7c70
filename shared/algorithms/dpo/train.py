"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) of a low-rank adapter.

Writes the adapter as safetensors and `base.json`, which says of which model's weights it is an adapter.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
from peft import LoraConfig
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from shared.algorithms.contract import Dataset, NotTrainable, Progress
from shared.algorithms.dpo.declaration import Parameters
from shared.algorithms.dpo.samples import Pairs, pairs, prompt_text
from shared.algorithms.language import held_out, models
from shared.algorithms.language.folders import model_folder, weights_digest
from shared.algorithms.language.likelihood import mean_log_likelihoods
from shared.algorithms.language.statistics import Numbers, mean_with_interval, preferred
from shared.algorithms.language.training import Reporting, arguments, workspace

ALL_LINEAR = "all-linear"
#: Names the adapter's base: the folder as it was given, and the digest of its weights.
BASE = "base.json"


def summary(data: Dataset, parameters: Parameters, seed: int = 0) -> Mapping[str, Any]:
    """Counts of pairs and questions on both sides of the split. Raises NotTrainable."""
    return pairs(data, parameters, seed).summary()


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Train the adapter and measure on held-out questions how often the chosen answer is the likelier one.

    Raises NotTrainable.
    """
    drawn = pairs(data, parameters, seed)
    folder = model_folder(parameters.base_model)
    with workspace(seed) as scratch:
        tokenizer = models.tokenizer(folder)
        kept = short_enough(drawn, tokenizer, parameters)
        trainer = trainer_for(models.causal(folder), tokenizer, kept.train, parameters, seed, scratch)
        trainer.add_callback(Reporting(progress, "preferences", end=0.9))
        loss = float(trainer.train().training_loss)
        progress(0.9, "measuring on held-out questions")
        metrics = _accuracies(trainer.model, tokenizer, kept.held, parameters, seed, out)
        _save(trainer.model, parameters.base_model, folder, out)
    left_out = drawn.train.height + drawn.held.height - kept.train.height - kept.held.height
    progress(1.0, "done")
    return {"loss": loss, **kept.summary(), "left_out_pairs": left_out, **metrics}


def short_enough(drawn: Pairs, tokenizer: Any, parameters: Parameters) -> Pairs:
    """Leave out what exceeds max_length: a truncated answer is not what was rated. Raises NotTrainable."""

    def fits(frame: pl.DataFrame) -> pl.DataFrame:
        if frame.is_empty():
            return frame
        short = [
            [len(ids) <= parameters.max_length for ids in tokenizer(texts)["input_ids"]]
            for texts in (_texts(frame, side, tokenizer.eos_token) for side in ("chosen", "rejected"))
        ]
        return frame.filter(np.all(short, axis=0))

    kept = Pairs(*(fits(frame) for frame in (drawn.train, drawn.held)))
    if not kept.held.height or kept.train.height + kept.held.height < parameters.min_samples:
        raise NotTrainable(
            f"preferences: {kept.train.height} pairs to train on and {kept.held.height} held out have at most"
            f" max_length {parameters.max_length} tokens; min_samples asks for {parameters.min_samples}"
        )
    return kept


def trainer_for(
    model: Any, tokenizer: Any, preferences: pl.DataFrame, parameters: Parameters, seed: int, scratch: str
) -> DPOTrainer:
    """trl's trainer, ready to train an adapter on these pairs."""
    targets = parameters.target_modules
    trainer = DPOTrainer(
        model=model,
        args=DPOConfig(
            **arguments(
                seed,
                scratch,
                num_train_epochs=parameters.epochs,
                per_device_train_batch_size=parameters.batch_size,
                gradient_accumulation_steps=parameters.accumulation,
                gradient_checkpointing=parameters.gradient_checkpointing,
                learning_rate=parameters.learning_rate,
                beta=parameters.beta,
                max_length=parameters.max_length,
            )
        ),
        train_dataset=_dataset(preferences),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=parameters.lora_r,
            lora_alpha=parameters.lora_alpha,
            lora_dropout=parameters.lora_dropout,
            target_modules=targets if targets == ALL_LINEAR else targets.replace(" ", "").split(","),
            task_type="CAUSAL_LM",
        ),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _texts(frame: pl.DataFrame, side: str, end: str | None) -> list[str]:
    return [
        f"{prompt_text(prompt)}{answer}{end or ''}"
        for prompt, answer in frame.select("prompt", side).iter_rows()
    ]


def _dataset(preferences: pl.DataFrame) -> datasets.Dataset:
    columns = preferences.select("prompt", "chosen", "rejected").to_dict(as_series=False)
    columns["prompt"] = [prompt_text(prompt) for prompt in columns["prompt"]]
    return datasets.Dataset.from_dict(columns)


def _accuracies(
    model: Any, tokenizer: Any, held: pl.DataFrame, parameters: Parameters, seed: int, out: Path
) -> dict[str, float]:
    """Accuracy of the mean log-likelihood of a token, so that length decides nothing; the rows are kept.

    Where one side is always the longer one, tokens differ too: `reward_accuracy` is that of the difference to
    the base model, the rewards that DPO is about (Rafailov et al. 2023), by the token.
    """
    model.eval()

    def measured() -> tuple[Numbers, Numbers]:
        prompts = [prompt_text(prompt) for prompt in held["prompt"]]
        first, second = (
            mean_log_likelihoods(model, tokenizer, prompts, held[side].to_list(), parameters.batch_size)
            for side in ("chosen", "rejected")
        )
        return first, second

    chosen, rejected = measured()
    found = {**preferred(chosen, rejected).metrics("accuracy"), "margin": float(np.mean(chosen - rejected))}
    base: dict[str, Any] = {}
    if parameters.compare_base:
        with model.disable_adapter():
            base_chosen, base_rejected = measured()
        found |= preferred(base_chosen, base_rejected).metrics("base_accuracy")
        rewards = chosen - base_chosen, rejected - base_rejected
        found |= preferred(*rewards).metrics("reward_accuracy")
        gained = _right(chosen, rejected) - _right(base_chosen, base_rejected)
        found |= mean_with_interval(gained, seed).metrics("accuracy_gain")
        base = {"base_chosen": base_chosen.tolist(), "base_rejected": base_rejected.tolist()}
    rows = held_out.Pairs(
        question=held_out.numbered(held["question_id"].to_list()),
        chosen=chosen.tolist(),
        rejected=rejected.tolist(),
        chosen_length=held["chosen"].str.len_chars().to_list(),
        rejected_length=held["rejected"].str.len_chars().to_list(),
        **base,
    )
    held_out.write(out, rows)
    return found


def _right(chosen: Numbers, rejected: Numbers) -> Numbers:
    """1, ½ or 0 for each pair."""
    found: Numbers = (1 + np.sign(chosen - rejected)) / 2
    return found


def _save(model: Any, name: str, folder: Path, out: Path) -> None:
    configuration = model.peft_config["default"]
    configuration.base_model_name_or_path = name
    configuration.target_modules = sorted(
        configuration.target_modules
    )  # a set's order changes from run to run
    model.save_pretrained(str(out), safe_serialization=True)
    (out / "README.md").unlink()  # peft's template of a model card, which says nothing
    base = {"base_model": name, "weights_sha256": weights_digest(folder)}
    (out / BASE).write_text(json.dumps(base, sort_keys=True) + "\n")
