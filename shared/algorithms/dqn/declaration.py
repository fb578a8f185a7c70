"""What `dqn` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Dataset, vector
from shared.algorithms.reading.entertainment import SCHEMA, TABLE
from shared.applications.entertainment.state import WIDTH

Size = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    hidden: Annotated[tuple[Size, ...], Field(min_length=1, max_length=8)] = (128, 64)
    """Units of each hidden layer."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Adam's."""
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Discount of the next state's value."""
    batch_size: Annotated[int, Field(ge=1)] = 256
    """Transitions of a step, drawn from the replay buffer, which holds the whole window."""
    steps: Annotated[int, Field(ge=1)] = 6000
    """Steps of gradient descent."""
    target_update_interval: Annotated[int, Field(ge=1)] = 200
    """Steps after which the target network is made equal."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the probability that the served policy spreads over all actions."""
    window_days: Annotated[float, Field(gt=0)] = 7.0
    """Interactions older than this, counted from the latest one, are left out."""
    min_interactions: Annotated[int, Field(ge=1)] = 5
    """Users with fewer interactions are left out."""
    evaluation_days: Annotated[float, Field(gt=0)] = 3.0
    """A policy learnt before these last days is compared with them, and with rules."""
    gate_interactions: Annotated[int, Field(ge=0)] = 1000
    """The gates want so many interactions …"""
    gate_reward: float = 0.3
    """… and a mean reward above this."""


PRESETS: Mapping[str, Parameters] = {"default": Parameters(), "quick": Parameters(steps=1000)}
APPLICATIONS: Sequence[str] = ("entertainment",)
TABLES: Mapping[str, Mapping[str, Any]] = {TABLE: SCHEMA}
LIBRARIES: Sequence[str] = ("d3rlpy", "numpy", "onnxruntime", "safetensors", "torch")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """The application's vector of a listener."""
    return {"type": "object", "properties": {"context": vector(WIDTH)}, "required": ["context"]}
