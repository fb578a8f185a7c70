"""Hyper-parameters of the reward model, and what it is trained on."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Columns, Dataset
from shared.algorithms.language.samples import FEEDBACK, PREFERENCES


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    base_model: str = "deberta-v3-base"
    """Encoder or causal model to put a scalar head on: a folder, or its name under STREAMWHEEL_MODELS."""
    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    """Passes over the samples."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 8
    """Samples (pairs or labels) of a step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-5
    """AdamW's, falling linearly to 0."""
    max_length: Annotated[int, Field(ge=8, le=131_072)] = 512
    """Tokens read of a text; of longer ones the end, which holds the response."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of queries that are only measured on."""
    min_samples: Annotated[int, Field(ge=2)] = 50
    """Fewer pairs and labels than this are not trained on."""


PRESETS: Mapping[str, Parameters] = {
    "default": Parameters(),
    # For models of a million parameters or fewer, which hardly move at a larger one's rate.
    "tiny": Parameters(learning_rate=1e-3, epochs=2),
}
APPLICATIONS = ("assistant",)
TABLES: Mapping[str, Columns] = {"preferences": PREFERENCES, "feedback": FEEDBACK}
LIBRARIES = ("torch", "transformers", "trl", "datasets", "accelerate", "safetensors")
MODELS = ("base_model",)


def inputs(data: Dataset) -> Mapping[str, Any]:
    """JSON Schema of what is scored."""
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "required": ["query", "response"],
        "properties": {"query": text, "response": text},
        "additionalProperties": False,
    }
