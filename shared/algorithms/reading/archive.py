"""Archived reward records to the tables that an application's algorithms read."""

import polars as pl

from shared.algorithms.reading.readers import reader
from shared.algorithms.rewards import TABLE, flat
from shared.applications.contract import Application


def tables(
    application: Application, records: pl.DataFrame, interactions: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    """Tables of the rewards in `records`, all revisions of them, nested or flat.

    `rewards` always; an application with lines of its own adds its tables. `interactions`, if they are known,
    are those behind the rewards: decision_id and the columns of INTERACTION_COLUMNS, in order of time.
    Raises NotTrainable.
    """
    rewards, module = flat(records), reader(application.name)
    own = getattr(module, "of_rewards", None)
    found = {TABLE: rewards} | (dict(own(application, rewards)) if own else {})
    if interactions is not None and wants_interactions(application.name):
        found |= module.of_interactions(application, rewards, interactions)
    return found


def wants_interactions(application: str) -> bool:
    """Whether rewards alone do not tell all that the application's algorithms learn from."""
    return hasattr(reader(application), "of_interactions")
