"""Training of language models: throughput beside trl used bare, and what an adapter's export keeps.

Everything runs on the Llama of 260,000 parameters, so the accuracies are those of a very small model: pairs a
second are of real preferences, the adapter learns what simulated users of a dashboard like.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from shared.cli.benchmarks.machine import machine
from shared.cli.benchmarks.turns import Throughput, by_turns
from shared.cli.output import say

if TYPE_CHECKING:
    from shared.algorithms.artefacts import Artefact
    from shared.algorithms.contract import Dataset

DATA = Path(__file__).parents[3] / "tests" / "data"
LLAMA = str(DATA / "stories260k")
SEED = 0
#: Shortest pairs that are timed.
TIMED_PAIRS = 200
#: Questions that an adapter learns from, the widgets that answer each, and the share that it is measured on.
QUESTIONS, WIDGETS, HELD_OUT = 400, 10, 0.25
EPOCHS = 3
ACCURACIES = ("accuracy", "base_accuracy", "accuracy_gain", "reward_accuracy")
#: A model this small needs larger steps than the defaults, which are for models of 10^8 parameters and more.
RATE = 1e-3


def run() -> dict[str, Any]:
    """Measure in this process; minutes on two cores."""
    pairs = real_pairs()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        reward = _reward_throughput(pairs.head(TIMED_PAIRS))
        preference = _preference_throughput(pairs.head(TIMED_PAIRS))
        adapter = made(
            "dpo",
            rated_widgets(),
            root,
            base_model=LLAMA,
            learning_rate=RATE,
            epochs=EPOCHS,
            held_out=HELD_OUT,
        )
        greedy = _greedy(adapter, root)
    return {
        "benchmark": "train-language",
        "figures": {
            "reward_model_pairs_per_s": reward.ours,
            "dpo_pairs_per_s": preference.ours,
            **{f"dpo, {name}": _interval(adapter, name) for name in ACCURACIES},
            "dpo, pairs held out": int(adapter.manifest.metrics["held_out_pairs"]),
            "greedy": greedy,
        },
        "peers": {"trl_reward_model_pairs_per_s": reward.theirs, "trl_dpo_pairs_per_s": preference.theirs},
        "ratios": {
            "reward_model": reward.ratio,
            "reward_model, by processor time": reward.processor_ratio,
            "dpo": preference.ratio,
            "dpo, by processor time": preference.processor_ratio,
        },
        "machine": machine(),
    }


def real_pairs() -> pl.DataFrame:
    """The committed pairs, the shortest first: columns query, chosen, rejected."""
    pairs = pl.read_ndjson(DATA / "preference_pairs" / "pairs.jsonl")
    length = pl.sum_horizontal(pl.col("prompt", "chosen", "rejected").str.len_chars())
    return pairs.sort(length, maintain_order=True).select("chosen", "rejected", query="prompt")


def _dataset(name: str, pairs: pl.DataFrame) -> Dataset:
    from shared.algorithms.contract import Dataset
    from shared.algorithms.registry import algorithms

    application = algorithms()[name].declaration.APPLICATIONS[0]
    asked = pairs.with_columns(question_id=pl.col("query"), prompt=pl.col("query"))
    tables = {"preferences": asked} | ({"feedback": asked} if name == "ppo" else {})
    return Dataset(application, tables, ())


def candidate(
    name: str, pairs: pl.DataFrame, root: Path, preset: str = "default", seed: int = SEED, **stated: Any
) -> Artefact:
    """Train one of preference pairs; for the rest see `made`."""
    return made(name, _dataset(name, pairs), root, preset, seed, **stated)


def rated_widgets() -> Dataset:
    """Pairs that simulated users' ratings make."""
    import numpy as np

    from shared.algorithms.contract import Dataset
    from shared.algorithms.reading.dashboard_widgets import read_line, tables
    from shared.applications.dashboard_widgets.simulator import WidgetSimulator
    from shared.applications.registry import load

    application = load()["dashboard_widgets"]
    shown = WidgetSimulator(SEED).shown(QUESTIONS, WIDGETS, np.random.default_rng(SEED))
    lines = [read_line(application, line) for entry in shown for line in entry]
    return Dataset(application.name, tables(application, lines), ())


def made(
    name: str, data: Dataset, root: Path, preset: str = "default", seed: int = SEED, **stated: Any
) -> Artefact:
    """Train one under `root`; `stated` are hyper-parameters beside the preset."""
    from shared.algorithms import artefacts
    from shared.algorithms.parameters import chosen
    from shared.algorithms.registry import algorithms

    algorithm = algorithms()[name]
    say(f"training {name}, seed {seed}")
    declared = algorithm.declaration
    parameters = chosen(declared.Parameters, declared.PRESETS, preset, stated)
    return artefacts.train(algorithm, data, parameters, seed, root, lambda *_: None)


def _reward_throughput(pairs: pl.DataFrame) -> Throughput:
    """Pairs a second from rows to trained weights, ours and trl's."""
    import datasets
    from trl import RewardConfig, RewardTrainer

    from shared.algorithms.language import models
    from shared.algorithms.language.samples import framed
    from shared.algorithms.language.training import arguments, workspace
    from shared.algorithms.reward_model import train as ours
    from shared.algorithms.reward_model.declaration import Parameters
    from shared.algorithms.reward_model.samples import samples

    parameters = Parameters(base_model=LLAMA, epochs=1)
    drawn = samples(_dataset("reward_model", pairs), parameters.held_out, parameters.min_samples, SEED)
    tokenizer = models.tokenizer(Path(LLAMA))

    def mine() -> None:
        with workspace(SEED) as scratch:
            model = models.scalar(Path(LLAMA), tokenizer.pad_token_id)
            ours.fit(model, tokenizer, drawn, parameters, SEED, scratch, lambda *_: None)

    def bare() -> None:
        with workspace(SEED) as scratch:
            columns = {
                side: [framed(*row) for row in drawn.pairs.select("query", side).iter_rows()]
                for side in ("chosen", "rejected")
            }
            RewardTrainer(
                model=models.scalar(Path(LLAMA), tokenizer.pad_token_id),
                args=RewardConfig(**arguments(SEED, scratch), **_bare(parameters)),
                train_dataset=datasets.Dataset.from_dict(columns),
                processing_class=tokenizer,
            ).train()

    return by_turns(drawn.pairs.height, mine, bare)


def _preference_throughput(pairs: pl.DataFrame) -> Throughput:
    import datasets
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    from shared.algorithms.dpo import train as ours
    from shared.algorithms.dpo.declaration import Parameters
    from shared.algorithms.dpo.samples import Pairs, prompt_text
    from shared.algorithms.language import models
    from shared.algorithms.language.training import Reporting, arguments, workspace

    parameters = Parameters(base_model=LLAMA, epochs=1)
    asked = pairs.with_columns(prompt=pl.col("query"))
    tokenizer = models.tokenizer(Path(LLAMA))

    def mine() -> None:
        with workspace(SEED) as scratch:
            kept = ours.short_enough(Pairs(asked, asked.head(1)), tokenizer, parameters)
            trainer = ours.trainer_for(
                models.causal(Path(LLAMA)), tokenizer, kept.train, parameters, SEED, scratch
            )
            trainer.add_callback(Reporting(lambda *_: None, "preferences"))
            trainer.train()

    def bare() -> None:
        columns = asked.select("chosen", "rejected").to_dict(as_series=False)
        columns["prompt"] = [prompt_text(prompt) for prompt in asked["prompt"]]
        with workspace(SEED) as scratch:
            DPOTrainer(
                model=models.causal(Path(LLAMA)),
                args=DPOConfig(**arguments(SEED, scratch), **_bare(parameters)),
                train_dataset=datasets.Dataset.from_dict(columns),
                processing_class=tokenizer,
                peft_config=LoraConfig(
                    r=16, lora_alpha=32, target_modules=ours.ALL_LINEAR, task_type="CAUSAL_LM"
                ),
            ).train()

    return by_turns(asked.height, mine, bare)


def _bare(parameters: Any) -> dict[str, Any]:
    return {
        "num_train_epochs": parameters.epochs,
        "per_device_train_batch_size": parameters.batch_size,
        "learning_rate": parameters.learning_rate,
        "gradient_checkpointing": False,
    }


def _interval(adapter: Artefact, name: str) -> list[float]:
    """The metric, and the ends of its 95 % interval."""
    return [round(adapter.manifest.metrics[f"{name}{end}"], 4) for end in ("", "_low", "_high")]


def _greedy(adapter: Artefact, root: Path) -> dict[str, Any]:
    from shared.algorithms.export.exporting import export_gguf

    found = {}
    for kind in ("f32", "q8_0", "q4_0"):
        found[kind] = export_gguf(adapter, root / "exports", kind, None, True, say)["greedy"]
    return found
