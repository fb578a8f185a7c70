"""Calls as numbers: what the reward model sees of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import polars as pl

from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.prompt_search.declaration import TABLES, Parameters
from shared.algorithms.reading.voice_assistant import TABLE
from shared.applications.voice_assistant.signals import Profile
from shared.applications.voice_assistant.variants import Slots, Variants
from shared.core.arrays import Floats

PROFILES: tuple[str, ...] = get_args(Profile)
SATURDAY = 6
DAY_MS = 86_400_000
TIMES = ("hour", "day_of_week", "weekend")
RATES = ("barge_ins_per_minute", "repeats_per_minute")


@dataclass(frozen=True, eq=False)
class Calls:
    """n calls of the window."""

    frame: pl.DataFrame
    """The table, of the window."""
    slots: Floats
    """(n, v): the variant by the values of its slots, one-hot, so that those nobody tried have a place."""
    contexts: Floats
    """(n, c): hour, day of the week, weekend, profile one-hot."""
    rates: Floats
    """(n, 2): barge-ins and repeats per minute."""

    @property
    def rewards(self) -> Floats:
        """(n,)."""
        return self.frame["reward"].to_numpy()


def read(data: Dataset, parameters: Parameters, variants: Variants) -> Calls:
    """The calls of the window. Raises NotTrainable."""
    data.table(TABLE, TABLES[TABLE])
    frame = data.tables[TABLE]
    since = int(frame["time"].max()) - round(parameters.window_days * DAY_MS)  # type: ignore[arg-type]
    frame = frame.filter(pl.col("time") > since)
    if len(frame) < parameters.min_events:
        raise NotTrainable(f"{TABLE}: {len(frame)} calls, at least {parameters.min_events} are needed")
    used = frame["variant"].unique().to_list()
    if unknown := sorted(set(used) - variants.variants.keys()):
        raise NotTrainable(f"{TABLE}.variant: {', '.join(unknown)}: no variants with slots")
    if unknown := sorted(set(frame["profile"].unique()) - set(PROFILES)):
        raise NotTrainable(f"{TABLE}.profile: {', '.join(unknown)}: no profiles")
    if len(used) < 2:
        raise NotTrainable(f"{TABLE}.variant: all are {used[0]}; at least two variants must have been tried")
    rewards = frame["reward"].to_numpy()
    if np.ptp(rewards) == 0:
        raise NotTrainable(f"{TABLE}.reward: all are {rewards[0]:g}; nothing tells variants apart")
    table = {name: one_hot([chosen], variants)[0] for name, chosen in variants.variants.items()}
    return Calls(frame, np.stack([table[name] for name in frame["variant"]]), _contexts(frame), _rates(frame))


def slot_names(variants: Variants) -> list[str]:
    """Names of the columns of `one_hot`."""
    return [f"{slot}={value}" for slot, values in variants.slots.items() for value in values]


def one_hot(combinations: Sequence[Slots], variants: Variants) -> Floats:
    """Combinations of slot values, one-hot, (n, v)."""
    return np.array(
        [
            [float(chosen[slot] == value) for slot, values in variants.slots.items() for value in values]
            for chosen in combinations
        ]
    )


def context_names() -> list[str]:
    """Names of the columns of `Calls.contexts`."""
    return [*TIMES, *(f"profile={name}" for name in PROFILES)]


def _contexts(frame: pl.DataFrame) -> Floats:
    moment = frame["time"].cast(pl.Datetime("ms"))
    day = moment.dt.weekday().to_numpy()
    times = np.stack([moment.dt.hour().to_numpy(), day - 1, day >= SATURDAY], axis=1)
    profiles = np.stack([(frame["profile"] == name).to_numpy() for name in PROFILES], axis=1)
    return np.concatenate([times, profiles], axis=1, dtype=np.float64)


def _rates(frame: pl.DataFrame) -> Floats:
    """count / (minutes + 1); what is not known is neutral."""
    minutes = frame["duration_sec"].fill_null(0.0).clip(lower_bound=0.0).to_numpy() / 60 + 1
    counts = frame.select(pl.col("barge_in_count", "repeats").fill_null(0.0)).to_numpy()
    return np.asarray(counts / minutes[:, None], np.float64)
