"""What `q_learning` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Dataset, vector
from shared.algorithms.reading.entertainment import SCHEMA, TABLE
from shared.applications.entertainment.state import WIDTH

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    alpha: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Learning rate."""
    gamma: Share = 0.95
    """Discount of the next state's value; a history's last interaction has none."""
    epsilon: Share = 0.3
    """Share of exploration at the start …"""
    epsilon_decay: Annotated[float, Field(gt=0, le=1)] = 0.995
    """… times this at each update …"""
    epsilon_floor: Annotated[float, Field(gt=0, le=1)] = 0.05
    """… and never below this."""
    window_days: Annotated[float, Field(gt=0)] = 7.0
    """Interactions older than this, counted from the latest one, are left out."""
    min_interactions: Annotated[int, Field(ge=1)] = 5
    """A user's interactions count from this number on, all of them."""
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
