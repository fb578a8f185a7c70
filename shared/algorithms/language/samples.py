"""Preferences and feedback as tables, how they are framed for a model, and how they are held out."""

import polars as pl

from shared.algorithms.contract import Columns, Dataset, NotTrainable
from shared.algorithms.splits import held_out

#: A person preferred `chosen` to `rejected` as an answer to `query`.
PREFERENCES: Columns = {"query": pl.String, "chosen": pl.String, "rejected": pl.String}
#: A person found the response to a query good, or not.
FEEDBACK: Columns = {"query": pl.String, "response": pl.String, "positive": pl.Boolean}


def framed(query: str, response: str) -> str:
    """What a reward model reads."""
    return f"{opening(query)} {response}"


def opening(query: str) -> str:
    """What a policy continues."""
    return f"Query: {query}\nResponse:"


def preferences(data: Dataset, columns: Columns = PREFERENCES) -> pl.DataFrame:
    """Return the pairs, each once. Raises NotTrainable naming the first row that is no preference."""
    pairs = data.table("preferences", columns)
    for column in columns:
        _refuse(pairs[column].str.strip_chars() == "", f"preferences.{column}: empty")
    _refuse(pairs["chosen"] == pairs["rejected"], "preferences: chosen and rejected are the same")
    pairs = pairs.unique(maintain_order=True)
    if pairs["chosen"].n_unique() == 1 and pairs["rejected"].n_unique() == 1 and pairs.height > 1:
        raise NotTrainable(
            f"preferences: one-sided, all {pairs.height} pairs prefer the same response to the same other one"
        )
    return pairs


def feedback(data: Dataset) -> pl.DataFrame:
    """Return the labelled responses. Raises NotTrainable naming the first row without a text."""
    labels = data.table("feedback", FEEDBACK)
    for column in ("query", "response"):
        _refuse(labels[column].str.strip_chars() == "", f"feedback.{column}: empty")
    return labels


def held_out_questions(questions: pl.Series, share: float, seed: int) -> pl.Series:
    """Which rows belong to questions that training never sees. Raises NotTrainable without two questions."""
    if (count := questions.n_unique()) < 2:
        raise NotTrainable(f"{count} question: two are needed at least, one of them to be held out")
    return pl.Series("held_out", held_out(questions, share, seed))


def _refuse(wrong: pl.Series, message: str) -> None:
    rows = wrong.arg_true()
    if len(rows):
        raise NotTrainable(f"{message} in {len(rows)} rows, the first of them row {rows[0]}")
