"""What an application is: features, actions and a reward, behind one protocol.

A folder of `shared/applications` is an application, or several, if it has a module `application` with a
function `applications() -> Iterable[Application]`; the contract test finds it by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from shared.applications.settings import ApplicationSettings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from shared.applications.observing import PolicyObserver, RewardObserver

Vector = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: {"name", "number", "text"}: the record Attribute of the schemas, one of the two values or none.
Attribute = dict[str, Any]

#: Columns of interactions that a reward function may read; the stream's frames may have more.
INTERACTION_COLUMNS: Mapping[str, pl.DataType] = {
    "type": pl.String(),
    "value": pl.Float64(),
    "attributes": pl.List(pl.Struct({"name": pl.String, "number": pl.Float64, "text": pl.String})),
}


class FieldError(ValueError):
    """A field of the input is missing, unknown or out of its range; `field` is its path."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True)
class Rewards:
    """One number for each decision, and what it is made of: name → numbers, both of shape (n,)."""

    reward: Numbers
    components: dict[str, Numbers]


DENSITY = "density"
"""The attribute in which who gives a vector by a density logs it: over the vector's numbers, or the first of
them where those determine the others."""


@dataclass(frozen=True)
class VectorAction:
    """An action that is a vector of numbers, which only a trained policy chooses."""

    name: str
    """What it is called in decisions."""
    numbers: Sequence[str]
    """The names of its numbers: in the reply's `parameters` and in the decision's attributes."""
    low: float = -inf
    high: float = inf
    """What each number lies within, both included."""
    total: float | None = None
    """What they add up to, if they do."""


class TrafficGuard(Protocol):
    """Limits on how much each action of the list may get from the online policy."""

    def shares(self, pulls: Numbers, means: Numbers, wanted: Numbers) -> Numbers:
        """Return the distribution to draw from instead of `wanted`, (k,); an action at 0 is not offered.

        Pure. `pulls`: rewards learnt of each action, `means`: their means, NaN where there is none.
        """


class Application(Protocol):
    """One product that decides and learns. Implementations are immutable and keep no state."""

    @property
    def settings(self) -> ApplicationSettings:
        """Validated settings."""

    @property
    def name(self) -> str:
        """The settings' name; the key of everything this application writes."""

    @property
    def actions(self) -> list[str]:
        """Every action, in the order of logged probabilities; empty where each request brings its own."""

    @property
    def reward_version(self) -> str:
        """Changes whenever the reward function might give another number."""

    @property
    def context_width(self) -> int:
        """d, the length of `featurise`'s vectors."""

    @property
    def action_width(self) -> int:
        """m, the number of features of each action; 0 without any."""

    @property
    def vector_action(self) -> VectorAction | None:
        """The action beyond `actions` whose numbers a trained policy gives; None where there is none."""

    @property
    def guard(self) -> TrafficGuard | None:
        """What limits the online policy, but for a request's own list of actions; None: nothing does."""

    def parameters(self, action: str) -> Mapping[str, Any] | None:
        """What an action of the list stands for, as JSON; None where its name says all.

        Decisions over HTTP carry it. Raises `FieldError` for a name that is no action.
        """

    def asked_of(self, subject_id: str) -> Mapping[str, Any]:
        """What is wanted of a subject beside the action, as JSON: in the `parameters` of decisions over HTTP.

        A function of the subject alone; empty where nothing is.
        """

    def featurise(self, context: Mapping[str, Any]) -> Vector:
        """A request's context as a vector of d float32. Raises `FieldError` naming `context.<feature>`."""

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """What of the context is logged beside the vector. Raises `FieldError`."""

    def action_features(self, actions: Sequence[Any] | None) -> tuple[list[str], Vector]:
        """A request's actions: their names and features of shape (k, m); None asks for every action.

        Raises `FieldError` naming `actions[i]`, or `actions` for what is wrong with the list.
        """

    def reward(
        self, interactions: pl.DataFrame, owner: Indices, n: int, decisions: pl.DataFrame | None = None
    ) -> Rewards:
        """Rewards of n decisions: row i of `interactions` belongs to decision owner[i] of 0..n-1.

        Rows are sorted by owner, then in log order. A decision without rows gets the default reward. Pure:
        a decision's reward depends on its own rows (and its row of `decisions`) only.
        """

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """Refuse an interaction over HTTP that `reward` could not count.

        Raises `FieldError` naming `type`, `value` or `attributes.<name>`.
        """

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Interactions, with the keys of `INTERACTION_COLUMNS`, of one line of `streamwheel reward`.

        Raises `FieldError`.
        """

    def reward_observer(self, registry: "CollectorRegistry") -> "RewardObserver | None":
        """Metrics of its own about rewards, registered in `registry`; None: it has none."""

    def policy_observer(self, registry: "CollectorRegistry") -> "PolicyObserver | None":
        """Metrics of its own about the online policy, registered in `registry`; None: it has none."""
