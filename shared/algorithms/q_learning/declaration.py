"""What `q_learning` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

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
    selection: Literal["epsilon", "ucb"] = "epsilon"
    """What is served: the best value, but for epsilon; or the best value + c sqrt(ln n / n_a), unvisited
    actions first, but for epsilon_floor."""
    c: Annotated[float, Field(ge=0)] = 2.0
    """Width of that bonus."""
    session_minutes: Annotated[float, Field(gt=0)] | None = None
    """After a longer absence a user begins anew, and the interaction before was terminal; none: only the
    last one of each user is."""
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


PRESETS: Mapping[str, Parameters] = {
    "default": Parameters(),
    "sessions": Parameters(gamma=0.5, selection="ucb", session_minutes=30.0),
}
APPLICATIONS: Sequence[str] = ("entertainment",)
TABLES: Mapping[str, Mapping[str, Any]] = {TABLE: SCHEMA}
LIBRARIES: Sequence[str] = ("numpy", "polars")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """The application's vector of a listener."""
    return {"type": "object", "properties": {"context": vector(WIDTH)}, "required": ["context"]}
