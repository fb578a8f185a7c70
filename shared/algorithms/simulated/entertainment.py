"""Histories of simulated listeners."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from shared.algorithms.reading.decisions import ATTRIBUTES, rewards_of
from shared.algorithms.reading.entertainment import of_rewards
from shared.algorithms.serving import DiscretePolicy
from shared.applications.attributes import attribute
from shared.applications.entertainment.simulator import EntertainmentSimulator
from shared.applications.registry import load
from shared.applications.simulation import Policy, Situation, uniform

#: Milliseconds between two decisions: 20,000 of them fill less than three days.
STEP_MS = 10_000
START_MS = 1_760_000_000_000


def histories(
    world: EntertainmentSimulator, decisions: int, seed: int, policy: Policy | None = None
) -> pl.DataFrame:
    """The table `histories` of so many decisions by a policy, uniform if none is given, in order of time."""
    application = load()["entertainment"]
    rows = list(_decisions(world, decisions, np.random.default_rng(seed), policy or uniform(world)))
    interactions = [
        [{**each, "value": None, "attributes": _list(each["attributes"])} for each in row["told"]]
        for row in rows
    ]
    rewards, components = rewards_of(application, interactions)
    contexts = [dict(row["situation"].context) for row in rows]
    table = pl.DataFrame(
        {
            "decision_id": [f"d{i:09}" for i in range(len(rows))],
            "subject_id": [row["subject"] for row in rows],
            "time": START_MS + np.arange(len(rows)) * STEP_MS,
            "context": [application.featurise(context).tolist() for context in contexts],
            "attributes": pl.Series([application.attributes(each) for each in contexts], dtype=ATTRIBUTES),
            "action": [row["action"] for row in rows],
            "reward": rewards,
            "components": components,
        }
    )
    return of_rewards(application, table)["histories"]


def as_policy(served: DiscretePolicy) -> Policy:
    """A served policy as a simulator calls it."""
    application = load()["entertainment"]
    return lambda situation: served.probabilities(application.featurise(situation.context)[None])[0]


def _decisions(
    world: EntertainmentSimulator, count: int, random: np.random.Generator, policy: Policy
) -> Iterator[dict[str, Any]]:
    """Whole sessions, one listener after the other, until there are enough decisions."""
    made, listener = 0, 0
    while made < count:
        situation: Situation | None = world.start(random)
        listener += 1
        while situation is not None and made < count:
            chances = np.asarray(policy(situation))
            action = world.actions[int(random.choice(len(chances), p=chances / chances.sum()))]
            told, following = world.follow(situation, action, random)
            yield {"subject": f"listener-{listener}", "situation": situation, "action": action, "told": told}
            situation, made = following, made + 1


def _list(attributes: Any) -> list[dict[str, Any]]:
    return [attribute(name, value, name) for name, value in attributes.items()]
