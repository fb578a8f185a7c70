"""What goes into the join and what comes out, as columns."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

DECISIONS: Literal["decisions"] = "decisions"
INTERACTIONS: Literal["interactions"] = "interactions"


@dataclass(frozen=True)
class Window:
    """When an interaction counts for a decision of one application; all in milliseconds of broker time.

    An interaction appended at t counts for a decision appended at d when
    d - early_grace <= t <= d + wait + hold; what comes after d + wait is a correction.
    """

    wait: int
    early_grace: int
    hold: int
    immediate: bool
    """Emit a revision whenever the reward changes, instead of once when the window closes."""
    default: float
    """The reward of a decision without interactions."""
    observed: bool = False
    """Tell of each interaction that comes to count."""

    @property
    def span(self) -> int:
        """How long after its decision an interaction may still count."""
        return self.wait + self.hold


@dataclass(frozen=True)
class Decisions:
    """A batch of one partition's decisions, in log order; all columns have n entries."""

    ids: list[str]
    applications: Ints
    """Index into the join's windows."""
    deferred: Bools
    raws: list[bytes]
    times: Ints
    offsets: Ints


@dataclass(frozen=True)
class Interactions:
    """A batch of one partition's interactions, in log order; all columns have n entries."""

    ids: list[str]
    decision_ids: list[str]
    applications: Ints
    activations: Bools
    raws: list[bytes]
    times: Ints
    offsets: Ints


@dataclass(frozen=True)
class Refusal:
    """A record that the join cannot use, and why; its bytes go to the dead letters."""

    topic: Literal["decisions", "interactions"]
    raw: bytes
    key: str
    offset: int
    reason: str


@dataclass(frozen=True)
class Emission:
    """Rewards of one application, as columns of n entries."""

    application: int
    decision_ids: list[str]
    decisions: list[bytes]
    reward: Floats
    components: Mapping[str, Floats]
    previous_reward: Floats
    revision: Ints
    is_default: Bools
    was_default: Bools
    """Whether the record before was the default; false where there was none."""
    interactions: Ints
    decision_time: Ints
    decision_offset: Ints
    last_time: Ints
    """Append time of the newest interaction that counted; the decision's own if there is none."""


def concat(emissions: Sequence[Emission]) -> Emission:
    """Emissions of one application, with the same components, as one."""
    if len(emissions) == 1:
        return emissions[0]
    first = emissions[0]
    columns = {
        name: np.concatenate([getattr(each, name) for each in emissions])
        for name in (
            *("reward", "previous_reward", "revision", "is_default", "was_default"),
            *("interactions", "decision_time", "decision_offset", "last_time"),
        )
    }
    return Emission(
        application=first.application,
        decision_ids=[decision_id for each in emissions for decision_id in each.decision_ids],
        decisions=[raw for each in emissions for raw in each.decisions],
        components={
            name: np.concatenate([each.components[name] for each in emissions]) for name in first.components
        },
        **columns,
    )


@dataclass(frozen=True)
class Heard:
    """Interactions of one application that came to count, each beside its decision."""

    application: int
    decisions: list[bytes]
    interactions: list[bytes]


@dataclass
class Output:
    """All that one step of the join asks its caller to publish or count."""

    emissions: list[Emission] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    """Of observed applications."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Copies left out, by topic."""
    corrections: Counter[int] = field(default_factory=Counter)
    """Interactions that counted after their window had closed, by application."""
    filtered: Counter[str] = field(default_factory=Counter)
    """Records that end without a reward by rule (deferred, never activated), by topic."""


Evaluate = Callable[[int, list[bytes], Ints, list[bytes]], tuple[Floats, Mapping[str, Floats]]]
"""(application, interactions sorted by owner and then log order, owner of each, decisions)
to (reward of each decision, components of each decision)."""
