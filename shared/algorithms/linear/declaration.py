"""What `linear` is told and needs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared.algorithms.contract import GENERIC, PARAMETERS, Dataset, vector
from shared.algorithms.rewards import COLUMNS, TABLE
from shared.core.policies.configuration import PolicyConfiguration

#: What the online policy has by default: a candidate that sees less than it cannot be as good.
_ONLINE = PolicyConfiguration()


@dataclass(frozen=True, config=PARAMETERS)
class Parameters:
    """Hyper-parameters. Rewards are expected to be of order one."""

    map: Literal["linear", "quadratic", "fourier"] = "fourier"
    """Feature map of the standardised context."""
    fourier_features: Annotated[int, Field(ge=1, le=4096)] = _ONLINE.fourier_features
    """Random Fourier features (map fourier)."""
    ridge: Annotated[float, Field(gt=0)] = _ONLINE.ridge
    """Ridge penalty of the reward model and of the policy."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Folds of cross-fitting: no decision's reward model has seen its subject."""
    clip: Annotated[float, Field(gt=1)] | None = 10.0
    """Importance weights above this are cut to it in learning, not in judging. An online policy logs choices
    of a probability of 1 in 10,000: with weights of 10,000, a few of them would drown all others."""
    test_split: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the subjects that the value is estimated on."""
    floor: Annotated[float, Field(gt=0, le=1)] = _ONLINE.floor
    """Share of the probability that the served policy spreads over all actions."""
    min_rewards: Annotated[int, Field(ge=1)] = 100
    """Fewer rewards than this are not trained on."""
    min_effective_sample: Annotated[float, Field(ge=1)] = 30.0
    """A smaller effective sample of the learnt policy on held-out subjects is refused."""


PRESETS: Mapping[str, Parameters] = {
    "default": Parameters(),
    "straight": Parameters(map="linear"),
}
APPLICATIONS: Sequence[str] = (GENERIC, "assistant", "dashboard_widgets")
TABLES: Mapping[str, Mapping[str, Any]] = {TABLE: COLUMNS}
LIBRARIES: Sequence[str] = ("numpy", "polars")


def inputs(data: Dataset) -> Mapping[str, Any]:
    """A context of as many numbers as the data have."""
    width = len(data.tables[TABLE]["context"][0])
    return {"type": "object", "properties": {"context": vector(width)}, "required": ["context"]}
