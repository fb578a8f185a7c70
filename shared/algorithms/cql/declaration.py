"""What `cql` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Dataset, vector
from shared.algorithms.reading.search_ranking import FACTS, SCHEMA, TABLE
from shared.applications.search_ranking.state import FEATURES

Share = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    epochs: Annotated[int, Field(ge=1)] = 100
    """Passes over the training part."""
    batch_size: Annotated[int, Field(ge=1)] = 256
    """Searches of a step."""
    test_split: Share = 0.2
    """Share of the searches that figures are taken on."""
    validation_split: Share = 0.2
    """Share of the rest whose temporal-difference error is watched."""
    actor_lr: Rate = 3e-4
    """Learning rate of the actor."""
    critic_lr: Rate = 3e-4
    """Learning rate of the critics."""
    conservative_weight: Annotated[float, Field(ge=0)] = 5.0
    """Weight of the penalty on values of actions that were not logged."""
    critics: Annotated[int, Field(ge=1, le=10)] = 2
    """Critics, the least of which counts."""
    action_samples: Annotated[int, Field(ge=1, le=1000)] = 10
    """Actions drawn for the penalty."""
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.99
    """Discount of the next state's value; a search ends its episode."""
    tau: Annotated[float, Field(gt=0, le=1)] = 0.005
    """Share by which target networks follow at each step."""
    hidden: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1)] = (256, 256)
    """Units of each hidden layer."""
    min_searches: Annotated[int, Field(ge=20)] = 100
    """Fewer searches than this are not trained on."""
    min_effective_sample: Annotated[float, Field(ge=1)] = 30.0
    """With a smaller effective sample, importance sampling says nothing."""
    skip_reward_computation: bool = False
    """Take the rewards that the log states instead of computing them from the outcomes."""
    save_processed_logs: bool = False
    """Keep states, actions and rewards beside the policy, as processed.jsonl."""
    normalize: bool = True
    """Standardise states: (x - mean) / (standard deviation + 1e-8)."""


PRESETS: Mapping[str, Parameters] = {"default": Parameters(), "quick": Parameters(epochs=10)}
APPLICATIONS: Sequence[str] = ("search_ranking",)
TABLES: Mapping[str, Mapping[str, Any]] = {
    TABLE: {name: SCHEMA[name] for name in ("observation", "action", "reward", *FACTS)}
}
LIBRARIES: Sequence[str] = ("d3rlpy", "numpy", "onnxruntime", "safetensors", "torch")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """The 23 raw numbers of a search's state."""
    return {"type": "object", "properties": {"context": vector(len(FEATURES))}, "required": ["context"]}
