"""Rewards of groups of interactions, together and one by one."""

from typing import Any

import numpy as np
import polars as pl

from shared.applications.contract import INTERACTION_COLUMNS, Application, Rewards

SCHEMA = pl.Schema(INTERACTION_COLUMNS)


def row(kind: str, value: float | None = None, **attributes: float | str | None) -> dict[str, Any]:
    """An interaction as the stream has it."""
    named = [
        {
            "name": name,
            "number": None if each is None or isinstance(each, str) else float(each),
            "text": each if isinstance(each, str) else None,
        }
        for name, each in attributes.items()
    ]
    return {"type": kind, "value": value, "attributes": named}


def together(application: Application, groups: list[list[dict[str, Any]]]) -> Rewards:
    """One call for all groups."""
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    rows = pl.DataFrame([each for group in groups for each in group], schema=SCHEMA)
    return application.reward(rows, owner, len(groups))


def one(application: Application, *rows: dict[str, Any]) -> float:
    """The reward of one decision."""
    return float(together(application, [list(rows)]).reward[0])
