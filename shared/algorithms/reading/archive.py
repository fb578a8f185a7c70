"""Archived reward records to the tables that an application's algorithms read."""

import polars as pl

from shared.algorithms.reading.readers import reader
from shared.algorithms.rewards import TABLE, flat
from shared.applications.contract import Application


def tables(application: Application, records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Tables of the rewards in `records`, all revisions of them, nested or flat.

    `rewards` always; an application with lines of its own adds its tables. Raises NotTrainable.
    """
    rewards = flat(records)
    own = getattr(reader(application.name), "of_rewards", None)
    return {TABLE: rewards} | (dict(own(application, rewards)) if own else {})
