"""Conversion, quality of rankings and revenue, from the facts among a reward's components."""

from functools import partial

import numpy as np

from shared.applications.outcomes import Components, Metric
from shared.applications.search_ranking.reward import CUTOFFS
from shared.core.arrays import Floats
from shared.core.estimators.outcomes import conversion

LONGEST = max(CUTOFFS)


def _conversion(found: Components) -> Floats:
    return conversion(found["purchase"])


def _reciprocal_rank(found: Components) -> Floats:
    first = found["first_rank"]
    return np.divide(1.0, first, out=np.zeros_like(first), where=first > 0)


def _precision(k: int, found: Components) -> Floats:
    return np.asarray(found[f"hits_at_{k}"] / k)


def _ndcg(found: Components) -> Floats:
    """With one relevant product the best order has it first. Components do not tell where others were."""
    first, hits = found["first_rank"], found[f"hits_at_{LONGEST}"]
    gain = np.where((first > 0) & (first <= LONGEST), 1 / np.log2(1 + np.maximum(first, 1)), 0.0)
    return np.where(hits > 1, np.nan, gain)


def _revenue(found: Components) -> Floats:
    return np.asarray(found["revenue"])


OUTCOMES = (
    Metric("conversion", ("purchase",), _conversion),
    Metric("mrr", ("first_rank",), _reciprocal_rank),
    *(Metric(f"precision_at_{k}", (f"hits_at_{k}",), partial(_precision, k)) for k in CUTOFFS),
    Metric(f"ndcg_at_{LONGEST}", ("first_rank", f"hits_at_{LONGEST}"), _ndcg),
    Metric("revenue_per_session", ("revenue",), _revenue),
)
