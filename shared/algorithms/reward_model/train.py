"""Reward model: an encoder or causal model with a scalar head, after Ouyang et al. 2022 (arXiv 2203.02155).

The score s of "Query: …\\nResponse: …" is fitted to pairs by −log σ(s_chosen − s_rejected) (Bradley–Terry),
and to labels by the same loss with nothing, which scores 0, in the place of the other response. So 0 divides
good from bad, and where there are pairs only, what remains is trl's own loss.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import torch
from torch.nn.functional import logsigmoid
from torch.nn.utils.rnn import pad_sequence
from transformers import PrinterCallback
from trl import RewardConfig, RewardTrainer

from shared.algorithms.contract import Dataset, Progress
from shared.algorithms.language import held_out, models
from shared.algorithms.language.folders import model_folder
from shared.algorithms.language.samples import framed
from shared.algorithms.language.scoring import Scorer
from shared.algorithms.language.statistics import preferred, wilson
from shared.algorithms.language.training import Reporting, arguments, save, workspace
from shared.algorithms.reward_model.declaration import Parameters
from shared.algorithms.reward_model.samples import Samples, length_baseline, longer_wins, samples


def summary(data: Dataset, parameters: Parameters, seed: int = 0) -> Mapping[str, Any]:
    """Counts of pairs and labels to train on and held out. Raises NotTrainable."""
    return samples(data, parameters.held_out, parameters.min_samples, seed).summary()


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Train and measure on held-out queries: accuracy on pairs with its interval, and by length alone.

    Raises NotTrainable.
    """
    drawn = samples(data, parameters.held_out, parameters.min_samples, seed)
    folder = model_folder(parameters.base_model)
    with workspace(seed) as scratch:
        tokenizer = models.tokenizer(folder)
        model = models.scalar(folder, tokenizer.pad_token_id)
        loss = fit(model, tokenizer, drawn, parameters, seed, scratch, progress)
        scorer = Scorer(model, tokenizer, parameters.max_length)
        progress(0.9, "measuring on held-out queries")
        metrics = {
            "loss": loss,
            **drawn.summary(),
            **_pair_accuracy(scorer, drawn, out),
            **_label_accuracy(scorer, drawn),
        }
        save(model, tokenizer, out)
    scorer.write_settings(out)
    progress(1.0, "done")
    return metrics


def fit(
    model: Any,
    tokenizer: Any,
    drawn: Samples,
    parameters: Parameters,
    seed: int,
    scratch: str,
    progress: Progress,
) -> float:
    """Train `model` in place and return the mean loss."""
    configuration = RewardConfig(
        **arguments(
            seed,
            scratch,
            num_train_epochs=parameters.epochs,
            per_device_train_batch_size=parameters.batch_size,
            learning_rate=parameters.learning_rate,
            max_length=None,
            remove_unused_columns=False,
            gradient_checkpointing=False,
        )
    )
    trainer = _Trainer(
        model=model,
        args=configuration,
        data_collator=_Collator(tokenizer.pad_token_id),
        train_dataset=_tokenised(drawn, tokenizer, parameters.max_length),
        processing_class=tokenizer,
        callbacks=[Reporting(progress, "reward model", end=0.9)],
    )
    trainer.remove_callback(PrinterCallback)
    return float(trainer.train().training_loss)


class _Collator:
    """Pads what is there of each row's two texts, and says where each row's scores will lie."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: Sequence[Mapping[str, list[int]]]) -> dict[str, torch.Tensor]:
        texts: list[torch.Tensor] = []
        places: dict[str, list[int]] = {"chosen": [], "rejected": []}
        for side, found in places.items():
            for row in rows:
                ids = row[f"{side}_ids"]
                found.append(len(texts) if ids else -1)
                if ids:
                    texts.append(torch.tensor(ids))
        padded = pad_sequence(texts, batch_first=True, padding_value=self.pad_token_id)
        mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
        return {"input_ids": padded, "attention_mask": mask} | {
            side: torch.tensor(found) for side, found in places.items()
        }


class _Trainer(RewardTrainer):  # type: ignore[misc]
    """trl's trainer with a loss that takes rows of which one side is absent, place −1, and scores 0."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        outputs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        )
        scores = outputs.logits.squeeze(-1)
        scores = torch.cat([scores, scores.new_zeros(1)])
        loss = -logsigmoid(scores[inputs["chosen"]] - scores[inputs["rejected"]]).mean()
        return (loss, outputs) if return_outputs else loss


def _tokenised(drawn: Samples, tokenizer: Any, max_length: int) -> datasets.Dataset:
    chosen = _texts(drawn.pairs, "query", "chosen") + [
        text if positive else None for text, positive in _labelled(drawn.labels)
    ]
    rejected = _texts(drawn.pairs, "query", "rejected") + [
        None if positive else text for text, positive in _labelled(drawn.labels)
    ]
    return datasets.Dataset.from_dict(
        {
            "chosen_ids": _ids(chosen, tokenizer, max_length),
            "rejected_ids": _ids(rejected, tokenizer, max_length),
        }
    )


def _ids(texts: Sequence[str | None], tokenizer: Any, max_length: int) -> list[list[int]]:
    found = tokenizer([text or "" for text in texts], truncation=True, max_length=max_length)["input_ids"]
    return [ids if text else [] for text, ids in zip(texts, found, strict=True)]


def _texts(frame: pl.DataFrame, query: str, response: str) -> list[str]:
    return [framed(*row) for row in frame.select(query, response).iter_rows()]


def _labelled(labels: pl.DataFrame) -> list[tuple[str, bool]]:
    return list(zip(_texts(labels, "query", "response"), labels["positive"], strict=True))


def _pair_accuracy(scorer: Scorer, drawn: Samples, out: Path) -> dict[str, float]:
    """Figures of the held-out pairs, whose rows are kept."""
    if not drawn.held_pairs.height:
        return {}
    chosen, rejected = (
        scorer.score(_texts(drawn.held_pairs, "query", side)) for side in ("chosen", "rejected")
    )
    lengths = {f"{side}_length": drawn.held_pairs[side].str.len_chars() for side in ("chosen", "rejected")}
    rows = held_out.Pairs(
        question=held_out.numbered(drawn.held_pairs["query"].to_list()),
        chosen=chosen.tolist(),
        rejected=rejected.tolist(),
        longer_wins=longer_wins(drawn.pairs),
        **{name: column.to_list() for name, column in lengths.items()},
    )
    held_out.write(out, rows)
    return {
        **preferred(chosen, rejected).metrics("accuracy"),
        **length_baseline(drawn.pairs, drawn.held_pairs).metrics("length_accuracy"),
        "margin": float(np.mean(chosen - rejected)),
    }


def _label_accuracy(scorer: Scorer, drawn: Samples) -> dict[str, float]:
    if not drawn.held_labels.height:
        return {}
    right = (scorer.score(_texts(drawn.held_labels, "query", "response")) > 0) == drawn.held_labels[
        "positive"
    ].to_numpy()
    return wilson(float(right.sum()), len(right)).metrics("label_accuracy")
