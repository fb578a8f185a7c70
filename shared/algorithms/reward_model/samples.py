"""What a reward model is trained and measured on: pairs and labels of queries, some of them held out."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.language.samples import feedback, held_out_questions, preferences
from shared.algorithms.language.statistics import Estimate, Numbers, preferred


@dataclass(frozen=True)
class Samples:
    """Pairs (query, chosen, rejected) and labels (query, response, positive), to train on and held out."""

    pairs: pl.DataFrame
    labels: pl.DataFrame
    held_pairs: pl.DataFrame
    held_labels: pl.DataFrame

    def summary(self) -> dict[str, Any]:
        """Counts, as JSON."""
        return {
            "train_pairs": self.pairs.height,
            "train_labels": self.labels.height,
            "train_positive_labels": int(self.labels["positive"].sum()),
            "held_out_pairs": self.held_pairs.height,
            "held_out_labels": self.held_labels.height,
        }


def samples(data: Dataset, held_out: float, min_samples: int, seed: int) -> Samples:
    """Read both tables, either of which may be absent or empty, and hold out whole queries.

    Raises NotTrainable for too few samples, and for labels that are all alike without any pair.
    """
    present = {name for name, table in data.tables.items() if table.height}
    pairs = preferences(data) if "preferences" in present else _NO_PAIRS
    labels = feedback(data) if "feedback" in present else _NO_LABELS
    if (count := pairs.height + labels.height) < min_samples:
        raise NotTrainable(
            f"preferences and feedback: {count} samples together, where min_samples asks for {min_samples}"
        )
    queries = pl.concat([pairs["query"], labels["query"]], rechunk=True)
    held = held_out_questions(queries, held_out, seed)
    held_pairs, held_labels = held.head(pairs.height), held.tail(labels.height)
    found = Samples(
        pairs.filter(~held_pairs),
        labels.filter(~held_labels),
        pairs.filter(held_pairs),
        labels.filter(held_labels),
    )
    _refuse_one_sided(found.pairs, found.labels)
    return found


def length_baseline(train: pl.DataFrame, held: pl.DataFrame) -> Estimate:
    """Accuracy of preferring by length alone: the longer or the shorter, whichever was right in training."""
    chosen, rejected = _lengths(held)
    return preferred(chosen, rejected) if longer_wins(train) else preferred(rejected, chosen)


def longer_wins(train: pl.DataFrame) -> bool:
    """Whether the longer of two answers was preferred more often than not, in pairs to train on."""
    return preferred(*_lengths(train)).value >= 0.5 if train.height else True


def _lengths(pairs: pl.DataFrame) -> tuple[Numbers, Numbers]:
    chosen, rejected = (
        pairs[column].str.len_chars().cast(pl.Float64).to_numpy() for column in ("chosen", "rejected")
    )
    return chosen, rejected


def _refuse_one_sided(pairs: pl.DataFrame, labels: pl.DataFrame) -> None:
    positive = int(labels["positive"].sum())
    if not pairs.height and positive in (0, labels.height):
        raise NotTrainable(
            f"feedback: one-sided, {positive} of {labels.height} labels to train on are positive, and there"
            " are no preferences: nothing tells good from bad"
        )


_NO_PAIRS = pl.DataFrame(schema={"query": pl.String, "chosen": pl.String, "rejected": pl.String})
_NO_LABELS = pl.DataFrame(schema={"query": pl.String, "response": pl.String, "positive": pl.Boolean})
