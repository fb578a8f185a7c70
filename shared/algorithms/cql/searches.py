"""Searches as arrays, those that can be used, and their split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.cql.declaration import TABLES, Parameters
from shared.algorithms.reading.search_ranking import FACTS, TABLE
from shared.applications.search_ranking.reward import HIGHEST, LOWEST, usable
from shared.applications.search_ranking.state import FEATURES
from shared.applications.search_ranking.weights import NAMES
from shared.core.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class Searches:
    """n searches."""

    states: Floats
    """(n, 23), raw."""
    actions: Floats
    """(n, 7), summing to 1."""
    rewards: Floats
    """(n,)."""
    facts: Mapping[str, Floats]
    """Facts of the outcomes, each (n,)."""
    set_aside: int = 0
    """Searches left out for a reward that is out of range."""

    def part(self, rows: Bools) -> "Searches":
        """Return some of the rows."""
        facts = {name: values[rows] for name, values in self.facts.items()}
        return Searches(self.states[rows], self.actions[rows], self.rewards[rows], facts)


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint parts of all rows."""

    train: Bools
    validation: Bools
    test: Bools


def read(data: Dataset, parameters: Parameters) -> Searches:
    """The searches that can be used. Raises NotTrainable."""
    columns = dict(TABLES[TABLE])
    column = "logged_reward" if parameters.skip_reward_computation else "reward"
    frame = data.table(TABLE, columns | {column: pl.Float64})
    states, actions = _matrix(frame, "observation", len(FEATURES)), _matrix(frame, "action", len(NAMES))
    rewards = frame[column].to_numpy()
    good = usable(rewards)
    if int(good.sum()) < parameters.min_searches:
        raise NotTrainable(
            f"{TABLE}: {int(good.sum())} searches with a reward within [{LOWEST:g}, {HIGHEST:g}], "
            f"at least {parameters.min_searches} are needed"
        )
    if np.ptp(rewards[good]) == 0:
        raise NotTrainable(f"{TABLE}.{column}: all are {rewards[good][0]:g}; nothing tells weights apart")
    if (np.ptp(actions[good], axis=0) < 1e-12).all():
        raise NotTrainable(f"{TABLE}.action: all are alike; at least two weightings must have been tried")
    facts = {name: frame[name].to_numpy() for name in FACTS}
    every = Searches(states, actions, rewards, facts).part(good)
    return Searches(every.states, every.actions, every.rewards, every.facts, int((~good).sum()))


def split(n: int, parameters: Parameters, seed: int) -> Split:
    """Seeded: the test part of all, the validation part of the rest."""
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(n)
    tested = max(1, round(parameters.test_split * n))
    watched = max(1, round(parameters.validation_split * (n - tested)))
    parts = np.full(n, 0)
    parts[order[:tested]], parts[order[tested : tested + watched]] = 2, 1
    return Split(parts == 0, parts == 1, parts == 2)


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of searches, and what came of them."""
    found = read(data, parameters)
    return {
        "searches": len(found.rewards),
        "set_aside": found.set_aside,
        "mean_reward": float(found.rewards.mean()),
        "conversion_rate": float((found.facts["purchase"] > 0).mean()),
        "mean_weights": dict(zip(NAMES, found.actions.mean(axis=0).tolist(), strict=True)),
    }


def _matrix(frame: pl.DataFrame, name: str, width: int) -> Floats:
    widths = frame[name].list.len().unique().to_list()
    if widths != [width]:
        raise NotTrainable(f"{TABLE}.{name}: lengths {sorted(widths)}; all must be {width}")
    return np.asarray(frame[name].explode().to_numpy().reshape(-1, width), np.float64)
