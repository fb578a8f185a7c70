"""Hyper-parameters of proximal policy optimisation, and what it is trained on."""

from collections.abc import Mapping
from typing import Annotated, Any

import polars as pl
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Columns, Dataset


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    reward_model: str = "reward_model"
    """Artefact of the algorithm reward_model: a folder, or its name under STREAMWHEEL_MODELS."""
    base_model: str = "phi-2"
    """Model that is trained, which is the reference too: a folder, or its name under STREAMWHEEL_MODELS."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5
    """AdamW's, falling linearly to 0."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 8
    """Prompts answered before each update."""
    mini_batch_size: Annotated[int, Field(ge=1, le=4096)] = 4
    """Answers of a gradient step; divides batch_size."""
    ppo_epochs: Annotated[int, Field(ge=1, le=100)] = 4
    """Passes over the answers of an update."""
    updates: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Updates in all."""
    target_kl: Annotated[float, Field(gt=0, le=10)] = 0.1
    """Largest divergence from the reference that is borne, nats per token; the coefficient steers below."""
    initial_kl_coefficient: Annotated[float, Field(ge=0, le=100)] = 0.2
    """First coefficient of the divergence in the reward."""
    normalise_reward: bool = False
    """Whether scores count in deviations of those of the reference's answers, so that a coefficient of the
    divergence means the same with every reward model."""
    response_length: Annotated[int, Field(ge=1, le=4096)] = 48
    """Tokens of an answer at most."""
    prompt_length: Annotated[int, Field(ge=4, le=131_072)] = 256
    """Tokens of a prompt at most; longer queries are left out and counted."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.7
    """Of the sampling, in training as in measuring."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 10
    """Updates between two states from which a training that was cut short goes on."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of queries that are only measured on."""
    measured: Annotated[int, Field(ge=2)] = 200
    """Held-out queries answered before and after, at most."""
    answers_per_query: Annotated[int, Field(ge=1, le=1000)] = 1
    """Answers to each of them, whose means are compared: more of them leave less to chance."""
    min_samples: Annotated[int, Field(ge=2)] = 50
    """Fewer queries than this are not trained on."""

    @model_validator(mode="after")
    def _divides(self) -> "Parameters":
        if self.batch_size % self.mini_batch_size:
            raise ValueError(
                f"mini_batch_size {self.mini_batch_size} does not divide batch_size {self.batch_size}"
            )
        return self


# A model of a million parameters or fewer takes larger steps. What earns reward shows only over thousands of
# answers: fresh ones tell more than further passes over the same, and short ones are cheap.
_TINY = Parameters(
    learning_rate=1e-4,
    batch_size=128,
    mini_batch_size=32,
    ppo_epochs=1,
    updates=64,
    initial_kl_coefficient=0.4,
    normalise_reward=True,
    response_length=20,
    prompt_length=64,
    answers_per_query=8,
)
PRESETS: Mapping[str, Parameters] = {"default": Parameters(), "tiny": _TINY}
APPLICATIONS = ("assistant",)
TABLES: Mapping[str, Columns] = {"feedback": {"query": pl.String}}
LIBRARIES = ("torch", "transformers", "trl", "datasets", "accelerate", "safetensors")
MODELS = ("base_model",)


def inputs(data: Dataset) -> Mapping[str, Any]:
    """JSON Schema of what is answered."""
    return {
        "type": "object",
        "required": ["query"],
        "properties": {"query": {"type": "string", "minLength": 1}},
        "additionalProperties": False,
    }
