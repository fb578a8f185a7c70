"""The table `rewards`: decisions, each with the latest revision of its reward."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from shared.algorithms.contract import NotTrainable

TABLE = "rewards"
#: What a policy over contexts is learnt from. `time` is the decision's append time, milliseconds since 1970.
COLUMNS: Mapping[str, Any] = {
    "decision_id": pl.String,
    "subject_id": pl.String,
    "time": pl.Int64,
    "context": pl.List(pl.Float64),
    "action": pl.String,
    "propensity": pl.Float64,
    "reward": pl.Float64,
}
_DECISION = "decision"
_PREFIX = f"{_DECISION}."


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Reward records as one row for each decision: its fields beside the reward's, the last revision only.

    The decision may be a struct column, or columns `decision.<field>`. Rows come in order of time, then id.
    Raises NotTrainable if the columns are no reward records.
    """
    if _DECISION in frame.columns and isinstance(frame.schema[_DECISION], pl.Struct):
        frame = frame.unnest(_DECISION)
    names = {name: name.removeprefix(_PREFIX) for name in frame.columns if name.startswith(_PREFIX)}
    frame = frame.rename(names | ({"decision_time": "time"} if "decision_time" in frame.columns else {}))
    if missing := sorted({"decision_id", "time", "revision"} - set(frame.columns)):
        raise NotTrainable(f"{TABLE}: column {', '.join(missing)} missing")
    latest = frame.sort("revision", maintain_order=True).unique(
        "decision_id", keep="last", maintain_order=True
    )
    return latest.sort("time", "decision_id")
