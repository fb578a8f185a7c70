"""Hyper-parameters of direct preference optimisation, and what it is trained on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Columns, Dataset


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    base_model: str = "TinyLlama-1.1B-Chat-v1.0"
    """Model that is adapted, which is the reference too: a folder, or its name under STREAMWHEEL_MODELS."""
    lora_r: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the adapter."""
    lora_alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    """The adapter is scaled by alpha / r."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs left out in a step; trl leaves dropout off."""
    target_modules: str = "all-linear"
    """Layers that are adapted: all-linear, or their names with commas between."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """AdamW's, falling linearly to 0."""
    beta: Annotated[float, Field(gt=0, le=10)] = 0.1
    """How strongly the model is held to the reference."""
    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    """Passes over the pairs."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 4
    """Pairs that are on the device at once."""
    accumulation: Annotated[int, Field(ge=1, le=1024)] = 1
    """Batches whose gradients make a step."""
    gradient_checkpointing: bool = False
    """Compute activations twice to hold fewer of them."""
    max_length: Annotated[int, Field(ge=8, le=131_072)] = 1024
    """Tokens of a prompt and its answer; longer pairs are left out and counted."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of questions that are only measured on."""
    min_samples: Annotated[int, Field(ge=2)] = 50
    """Fewer pairs than this are not trained on."""
    compare_base: bool = True
    """Measure the base model on the held-out pairs too."""


_DEFAULT = Parameters()

PRESETS: Mapping[str, Parameters] = {
    "default": _DEFAULT,
    "small_gpu": replace(_DEFAULT, batch_size=2, accumulation=2, gradient_checkpointing=True),
    "high_quality": replace(_DEFAULT, lora_r=64, lora_alpha=128, epochs=5),
}
APPLICATIONS = ("dashboard_widgets",)
TABLES: Mapping[str, Columns] = {
    "preferences": {
        "question_id": pl.String,
        "prompt": pl.String,
        "chosen": pl.String,
        "rejected": pl.String,
    }
}
LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors")
MODELS = ("base_model",)


def inputs(data: Dataset) -> Mapping[str, Any]:
    """JSON Schema of what the adapted model continues."""
    return {
        "type": "object",
        "required": ["prompt"],
        "properties": {"prompt": {"type": "string", "minLength": 1}},
        "additionalProperties": False,
    }
