"""Held-out rows of language models as figures are worked out of them, and as their page shows them."""

import numpy as np

from shared.algorithms.language.held_out import Answers, Pairs
from shared.core.arrays import Floats
from shared.core.estimators.hashing import Hashes
from shared.core.estimators.outcomes import preferred
from shared.evaluation.report.charts import number
from shared.evaluation.report.held_out import HeldOutRows

BEFORE, LENGTH = "the model before", "length alone"
"""What a candidate is compared with."""


def questions(rows: Answers | Pairs) -> Hashes:
    """Which rows belong together, (n,)."""
    return np.asarray(rows.question, np.uint64)


def right_by_length(rows: Pairs) -> Floats:
    """Which pairs length alone would get right, (n,): 1, 0, or a half for a tie."""
    longer, shorter = rows.chosen_length, rows.rejected_length
    return preferred(longer, shorter) if rows.longer_wins else preferred(shorter, longer)


def shown_answers(rows: Answers) -> HeldOutRows:
    """Scores before and after training."""
    before, after, short, long = (
        np.asarray(each, np.float64)
        for each in (rows.before, rows.after, rows.before_length, rows.after_length)
    )
    allowed = f"{number(rows.divergence)} of {number(rows.largest_divergence)}"
    return HeldOutRows(
        baseline=BEFORE,
        gain=after - before,
        longer=long - short,
        unit="tokens",
        question=questions(rows),
        columns={"before": before, "after": after, "tokens before": short, "tokens after": long},
        facts={"nats per token from before": allowed},
    )


def shown_pairs(rows: Pairs, right: Floats, base: Floats, baseline: str) -> HeldOutRows:
    """Which pairs the candidate gets right, and which its baseline."""
    chosen, rejected, long, short = (
        np.asarray(each, np.float64)
        for each in (rows.chosen, rows.rejected, rows.chosen_length, rows.rejected_length)
    )
    return HeldOutRows(
        baseline=baseline,
        gain=right - base,
        longer=long - short,
        unit="characters",
        question=questions(rows),
        columns={
            "preferred": chosen,
            "other": rejected,
            "right": right,
            f"right by {baseline}": base,
            "characters": long,
            "of the other": short,
        },
        facts={},
    )
