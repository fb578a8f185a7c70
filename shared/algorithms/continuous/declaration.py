"""Hyper-parameters of the continuous learner, and what it is trained on."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.continuous.buffer import CAPACITY, NEW_SAMPLES
from shared.algorithms.contract import PARAMETERS, Columns, Dataset
from shared.algorithms.language.samples import FEEDBACK
from shared.algorithms.ppo import declaration as ppo


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters; those of reward model and policy that are not here have their defaults."""

    reward_base_model: str = "deberta-v3-base"
    """Model that scores: a folder or a name as in reward_model; a previous candidate's outranks it."""
    base_model: str = "phi-2"
    """Model that answers, likewise."""
    buffer: Annotated[int, Field(ge=1, le=1_000_000)] = CAPACITY
    """Most recent samples that are trained on."""
    new_samples: Annotated[int, Field(ge=1)] = NEW_SAMPLES
    """New samples after which a training starts; fewer in all are not trained on."""
    reward_learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-5
    """AdamW's, of the reward model."""
    reward_epochs: Annotated[int, Field(ge=1, le=100)] = 3
    """Passes over the samples, of the reward model."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5
    """AdamW's, of the policy."""
    updates: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Updates of the policy."""
    response_length: Annotated[int, Field(ge=1, le=4096)] = 48
    """Tokens of an answer at most."""


PRESETS: Mapping[str, Parameters] = {"default": Parameters()}
APPLICATIONS = ("assistant",)
TABLES: Mapping[str, Columns] = {"feedback": FEEDBACK}
LIBRARIES = ppo.LIBRARIES
MODELS = ("reward_base_model", "base_model")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """JSON Schema of what is answered."""
    return ppo.inputs(data)
