"""Histories of listeners as episodes, for algorithms over the vectors of their contexts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl

from shared.algorithms import histories
from shared.algorithms.contract import Dataset, NotTrainable
from shared.applications.entertainment.state import WIDTH
from shared.core.arrays import Floats


class Window(Protocol):
    """What of an algorithm's hyper-parameters chooses the data."""

    @property
    def window_days(self) -> float:
        """Days before the latest row."""

    @property
    def min_interactions(self) -> int:
        """Of a user."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """n decisions, listener by listener, in order of time."""

    contexts: Floats
    """(n, WIDTH)."""
    chosen: np.ndarray
    """(n,) int64: position of the action."""
    rewards: Floats
    """(n,)."""
    terminals: np.ndarray
    """(n,) float: 1 for a listener's last decision."""


def window(data: Dataset, parameters: Window) -> pl.DataFrame:
    """The rows to learn from. Raises NotTrainable."""
    frame = histories.with_enough(histories.read(data, parameters.window_days), parameters.min_interactions)
    widths = frame["context"].list.len().unique().to_list()
    if widths != [WIDTH]:
        raise NotTrainable(f"histories.context: lengths {sorted(widths)}; all must be {WIDTH}")
    return frame


def episodes(frame: pl.DataFrame, actions: Sequence[str]) -> Episodes:
    """Rows as arrays."""
    frame = frame.sort("subject_id", "time", "decision_id")
    place = {name: i for i, name in enumerate(actions)}
    ends = (frame["subject_id"] != frame["subject_id"].shift(-1)).fill_null(True)
    return Episodes(
        frame["context"].explode().to_numpy().reshape(-1, WIDTH),
        np.array([place[name] for name in frame["action"]], np.int64),
        frame["reward"].to_numpy(),
        ends.cast(pl.Float64).to_numpy(),
    )


def summary(data: Dataset, parameters: Window) -> Mapping[str, Any]:
    """Counts of listeners and interactions in the window."""
    return histories.report(window(data, parameters))
