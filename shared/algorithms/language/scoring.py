"""Scores of texts by a reward model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from shared.algorithms.language import models
from shared.algorithms.language.statistics import Numbers

#: What a reward model's folder holds beside the files of transformers.
SETTINGS = "reward.json"


class Scorer:
    """A reward model ready to score."""

    def __init__(self, model: Any, tokenizer: Any, max_length: int, batch_size: int = 32) -> None:
        self.model, self.tokenizer, self.max_length, self.batch_size = (
            model,
            tokenizer,
            max_length,
            batch_size,
        )
        model.eval()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Restore from an artefact's folder, which the caller has verified. Raises MissingModel, OSError."""
        settings = json.loads((folder / SETTINGS).read_text())
        tokenizer = models.tokenizer(folder)
        model = models.scalar(folder, tokenizer.pad_token_id, trained=True).to(models.device())
        return cls(model, tokenizer, settings["max_length"])

    def write_settings(self, folder: Path) -> None:
        """Keep what scoring needs beside the model."""
        (folder / SETTINGS).write_text(json.dumps({"max_length": self.max_length}) + "\n")

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def score(self, texts: Sequence[str]) -> Numbers:
        """Scores of framed texts, shape (n,); above 0 is good."""
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        scores = np.zeros(len(texts))
        for start in range(0, len(order), self.batch_size):
            picked = order[start : start + self.batch_size]
            scores[picked] = self._batch([texts[i] for i in picked])
        return scores

    def _batch(self, texts: list[str]) -> Numbers:
        tokens = self.tokenizer(
            texts,
            truncation=True,
            max_length=self.max_length,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        ).to(self.model.device)
        logits = self.model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
        found: Numbers = logits.squeeze(-1).double().cpu().numpy()
        return found
