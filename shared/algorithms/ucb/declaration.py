"""What `ucb` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Dataset, vector
from shared.algorithms.reading.entertainment import SCHEMA, TABLE
from shared.applications.entertainment.state import WIDTH


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    c: Annotated[float, Field(ge=0)] = 2.0
    """Width of the bonus c sqrt(ln n / n_a); actions that were never taken in a state come first."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the probability that the served policy spreads over all actions."""
    window_days: Annotated[float, Field(gt=0)] = 7.0
    """Interactions older than this, counted from the latest one, are left out."""
    min_interactions: Annotated[int, Field(ge=1)] = 5
    """Users with fewer interactions are left out."""
    evaluation_days: Annotated[float, Field(gt=0)] = 3.0
    """The policy learnt before these last days is compared with them."""
    gate_interactions: Annotated[int, Field(ge=0)] = 1000
    """The gates want so many interactions …"""
    gate_reward: float = 0.3
    """… and a mean reward above this."""


PRESETS: Mapping[str, Parameters] = {"default": Parameters()}
APPLICATIONS: Sequence[str] = ("entertainment",)
TABLES: Mapping[str, Mapping[str, Any]] = {TABLE: SCHEMA}
LIBRARIES: Sequence[str] = ("numpy", "polars")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """The application's vector of a listener."""
    return {"type": "object", "properties": {"context": vector(WIDTH)}, "required": ["context"]}
