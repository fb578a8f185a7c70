"""Conversion, quality of rankings and revenue, from the facts among a reward's components."""

from functools import partial

import numpy as np

from shared.applications.outcomes import Components, Metric
from shared.applications.search_ranking.reward import CUTOFFS, GAIN_CUTOFF
from shared.core.arrays import Floats
from shared.core.estimators.outcomes import conversion

_DCG = f"dcg_at_{GAIN_CUTOFF}"
_IDEAL = np.cumsum([0.0, *(1 / np.log2(1 + np.arange(1, GAIN_CUTOFF + 1)))])
"""By the number of hits, all of them first."""


def _conversion(found: Components) -> Floats:
    return conversion(found["purchase"])


def _reciprocal_rank(found: Components) -> Floats:
    first = found["first_rank"]
    return np.divide(1.0, first, out=np.zeros_like(first), where=first > 0)


def _precision(k: int, found: Components) -> Floats:
    return np.asarray(found[f"hits_at_{k}"] / k)


def _ndcg(found: Components) -> Floats:
    """DCG over that of the best order, which has all hits first (Jarvelin and Kekalainen 2002); 0 without.

    Gains are binary: of one search only ranks with the same, strongest action count, so grades would cancel.
    """
    hits = np.minimum(found["hits"], GAIN_CUTOFF).astype(np.int64)
    ideal: Floats = _IDEAL[hits]
    return np.asarray(np.divide(found[_DCG], ideal, out=np.zeros_like(ideal), where=hits > 0))


def _revenue(found: Components) -> Floats:
    return np.asarray(found["revenue"])


OUTCOMES = (
    Metric("conversion", ("purchase",), _conversion),
    Metric("mrr", ("first_rank",), _reciprocal_rank),
    *(Metric(f"precision_at_{k}", (f"hits_at_{k}",), partial(_precision, k)) for k in CUTOFFS),
    Metric(f"ndcg_at_{GAIN_CUTOFF}", ("hits", _DCG), _ndcg),
    Metric("revenue_per_session", ("revenue",), _revenue),
)
