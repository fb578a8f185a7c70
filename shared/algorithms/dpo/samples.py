"""Pairs to train on and pairs of other questions to measure on."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.dpo.declaration import TABLES, Parameters
from shared.algorithms.language.samples import held_out_questions, preferences


@dataclass(frozen=True)
class Pairs:
    """Columns question_id, prompt, chosen, rejected; no question is on both sides."""

    train: pl.DataFrame
    held: pl.DataFrame

    def summary(self) -> dict[str, Any]:
        """Counts, as JSON."""
        return {
            "train_pairs": self.train.height,
            "held_out_pairs": self.held.height,
            "train_questions": self.train["question_id"].n_unique(),
            "held_out_questions": self.held["question_id"].n_unique(),
        }


def pairs(data: Dataset, parameters: Parameters, seed: int) -> Pairs:
    """Read the pairs and hold out whole questions. Raises NotTrainable."""
    _refuse_one_sided(data)
    found = preferences(data, TABLES["preferences"])
    if found.height < parameters.min_samples:
        raise NotTrainable(
            f"preferences: {found.height} pairs, where min_samples asks for {parameters.min_samples}"
        )
    held = held_out_questions(found["question_id"], parameters.held_out, seed)
    return Pairs(found.filter(~held), found.filter(held))


def _refuse_one_sided(data: Dataset) -> None:
    """Say of ratings that make no pair what they lack."""
    ratings = data.tables.get("ratings")
    if ratings is None or data.tables["preferences"].height:
        return
    liked, questions = int(ratings["liked"].sum()), ratings["question_id"].n_unique()
    raise NotTrainable(
        f"preferences: none, of {ratings.height} ratings of {questions} questions {liked} are up and "
        f"{ratings.height - liked} down; a pair takes both for one question"
    )


def prompt_text(prompt: str) -> str:
    """A prompt as the model sees it: the answer starts on a line of its own."""
    return prompt.rstrip("\n") + "\n"
