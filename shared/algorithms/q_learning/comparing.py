"""A table's policy on logged histories, beside the rules one would write by hand."""

import numpy as np
import polars as pl

from shared.algorithms import histories
from shared.algorithms.q_learning.policy import TablePolicy
from shared.core.arrays import Floats


def compared(policy: TablePolicy, last: pl.DataFrame) -> dict[str, float]:
    """Figures of the log, of the rules and of the policy, as in `histories.evaluation`."""
    place = {name: i for i, name in enumerate(policy.actions)}

    def agreement(rows: pl.DataFrame) -> Floats:
        chosen = [place[name] for name in rows["action"]]
        return np.asarray(policy.of_states(rows["state"].to_list())[np.arange(len(rows)), chosen])

    rules = histories.evaluation(last, histories.rule_based, "rules_")
    return rules | histories.evaluation(last, agreement)
