"""What `prompt_search` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import PARAMETERS, Dataset, vector
from shared.algorithms.reading.voice_assistant import SCHEMA, TABLE

Share = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters."""

    window_days: Annotated[float, Field(gt=0)] = 30.0
    """Calls older than this, counted from the latest one, are left out."""
    min_events: Annotated[int, Field(ge=10)] = 100
    """Fewer calls than this are not trained on."""
    preference_gap: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Of two variants, in one profile, one is preferred if mean rewards differ by more than this."""
    trees: Annotated[int, Field(ge=2, le=10_000)] = 100
    """Trees of the random forest."""
    max_features: Share = 1 / 3
    """Share of the features that each split may choose from."""
    min_leaf: Annotated[int, Field(ge=1)] = 50
    """The fewest calls of a leaf, or a tenth of all calls where that is less."""
    test_split: Share = 0.2
    """Share of the calls that the forest's error is measured on."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Folds of the cross-validation."""
    contexts: Annotated[int, Field(ge=1, le=10_000)] = 60
    """Calls whose time and profile each combination of slots is scored in, and averaged over."""
    top: Annotated[int, Field(ge=1, le=1000)] = 5
    """Combinations that are exported."""
    high: Annotated[float, Field(ge=-1, le=1)] = 0.6
    """A predicted reward above this is recommended highly."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the probability that the served policy spreads over all variants."""


PRESETS: Mapping[str, Parameters] = {"default": Parameters()}
APPLICATIONS: Sequence[str] = ("voice_assistant",)
TABLES: Mapping[str, Mapping[str, Any]] = {
    TABLE: {name: SCHEMA[name] for name in ("time", "profile", "variant", "reward")}
}
LIBRARIES: Sequence[str] = ("numpy", "polars", "scikit-learn")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """The profile and agent of a call, one-hot as the application has them."""
    return {"type": "object", "properties": {"context": vector(8)}, "required": ["context"]}
