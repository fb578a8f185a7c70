"""Training of language models: throughput beside trl used bare, accuracies, and what PPO gains.

Everything runs on the Llama of 260,000 parameters and real preference pairs, so the accuracies
are those of a very small model; the ratios to trl are what counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from shared.cli.benchmarks.machine import machine
from shared.cli.output import say

if TYPE_CHECKING:
    from shared.algorithms.artefacts import Artefact
    from shared.algorithms.contract import Dataset

DATA = Path(__file__).parents[3] / "tests" / "data"
LLAMA = str(DATA / "stories260k")
SEED = 0
#: Shortest pairs that are timed, and how often each side is: the best time counts.
TIMED_PAIRS, REPEATS = 200, 3
#: A model this small needs larger steps than the defaults, which are for models of 10^8 parameters and more.
RATE = 1e-3


def run() -> dict[str, Any]:
    """Measure in this process; minutes on two cores."""
    pairs = _pairs()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        reward = _reward_throughput(pairs.head(TIMED_PAIRS))
        preference = _preference_throughput(pairs.head(TIMED_PAIRS))
        scored = _reward_model(pairs, root)
        policy = _candidate(
            "ppo", pairs, root, reward_model=str(scored.folder), base_model=LLAMA, **_POLICY
        ).manifest.metrics
        adapter = _candidate("dpo", pairs.head(400), root, base_model=LLAMA, learning_rate=RATE, epochs=1)
        greedy = _greedy(adapter, root)
    ours = {"reward_model_pairs_per_s": reward[0], "dpo_pairs_per_s": preference[0]}
    peers = {"trl_reward_model_pairs_per_s": reward[1], "trl_dpo_pairs_per_s": preference[1]}
    chosen = ("accuracy", "accuracy_low", "accuracy_high", "length_accuracy")
    return {
        "benchmark": "train-language",
        "figures": {
            **ours,
            "reward_model": {name: scored.manifest.metrics[name] for name in chosen},
            "dpo": {name: adapter.manifest.metrics[name] for name in ("accuracy", "base_accuracy")},
            "ppo": policy,
            "greedy": greedy,
        },
        "peers": peers,
        "ratios": {"reward_model": reward[0] / reward[1], "dpo": preference[0] / preference[1]},
        "machine": machine(),
    }


_POLICY: dict[str, Any] = {"learning_rate": 3e-5, "updates": 40, "response_length": 24}


def _pairs() -> pl.DataFrame:
    """Real pairs, the shortest first: columns query, chosen, rejected."""
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


def _candidate(name: str, pairs: pl.DataFrame, root: Path, **chosen: Any) -> Artefact:
    from shared.algorithms import artefacts
    from shared.algorithms.registry import algorithms

    algorithm = algorithms()[name]
    say(f"training {name}")
    parameters = algorithm.declaration.Parameters(**chosen)
    return artefacts.train(algorithm, _dataset(name, pairs), parameters, SEED, root, lambda *_: None)


def _reward_model(pairs: pl.DataFrame, root: Path) -> Artefact:
    return _candidate("reward_model", pairs.head(600), root, base_model=LLAMA, learning_rate=RATE, epochs=1)


def _reward_throughput(pairs: pl.DataFrame) -> tuple[float, float]:
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

    return _rates(drawn.pairs.height, mine, bare)


def _preference_throughput(pairs: pl.DataFrame) -> tuple[float, float]:
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

    return _rates(asked.height, mine, bare)


def _bare(parameters: Any) -> dict[str, Any]:
    return {
        "num_train_epochs": parameters.epochs,
        "per_device_train_batch_size": parameters.batch_size,
        "learning_rate": parameters.learning_rate,
        "gradient_checkpointing": False,
    }


def _rates(count: int, mine: Callable[[], None], bare: Callable[[], None]) -> tuple[float, float]:
    """The best of each side's runs, which take turns so that the machine's load hits both."""
    best = [0.0, 0.0]
    for turn in range(REPEATS):
        for side, work in enumerate((mine, bare)):
            say(f"timing {('ours', 'trl')[side]}, {turn + 1} of {REPEATS}")
            start = time.perf_counter()
            work()
            best[side] = max(best[side], count / (time.perf_counter() - start))
    return best[0], best[1]


def _greedy(adapter: Artefact, root: Path) -> dict[str, Any]:
    from shared.algorithms.export.exporting import export_gguf

    found = {}
    for kind in ("f32", "q8_0", "q4_0"):
        found[kind] = export_gguf(adapter, root / "exports", kind, None, True, say)["greedy"]
    return found
