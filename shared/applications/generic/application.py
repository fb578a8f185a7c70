"""An application from settings alone."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shared.applications.attributes import attribute
from shared.applications.contract import (
    Attribute,
    FieldError,
    Indices,
    Rewards,
    TrafficGuard,
    Vector,
    VectorAction,
)
from shared.applications.files import read
from shared.applications.generic.aggregations import aggregate
from shared.applications.generic.features import Features
from shared.applications.settings import MOST_ACTIONS, ApplicationSettings, DynamicActions

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from shared.applications.observing import PolicyObserver, RewardObserver

#: Raised when the code below would give other rewards for the same settings.
REWARD_CODE = 1
#: Characters of an action's name.
_LONGEST_NAME = 100


class GenericApplication:
    """Features, actions and reward as `settings` say."""

    def __init__(self, settings: ApplicationSettings) -> None:
        self.settings = settings
        self.vector_action: VectorAction | None = None
        self.guard: TrafficGuard | None = None
        self.name = settings.application
        self._context = Features(settings.features, settings.attributes)
        dynamic = settings.actions if isinstance(settings.actions, DynamicActions) else None
        self._action = Features(dynamic.features) if dynamic else None
        self.actions = [] if isinstance(settings.actions, DynamicActions) else list(settings.actions)
        self._known = frozenset(self.actions)
        self.context_width = self._context.width
        self.action_width = self._action.width if self._action else 0

    @cached_property
    def reward_version(self) -> str:
        """The code's number and a digest of what the settings say of aggregation, default and clip."""
        stated = self.settings.reward.model_dump_json(include={"aggregation", "default", "clip"})
        return f"generic-{REWARD_CODE}-{hashlib.sha256(stated.encode()).hexdigest()[:8]}"

    def parameters(self, action: str) -> Mapping[str, Any] | None:
        """None: a name says all."""
        return None

    def asked_of(self, subject_id: str) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def featurise(self, context: Mapping[str, Any]) -> Vector:
        """Numbers standardised, categories one-hot, in the order of the settings."""
        return self._context.encode(context, "context")

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """The context's values for the settings' `attributes`; absent ones are left out."""
        return [
            attribute(name, context[name], f"context.{name}")
            for name in self.settings.attributes
            if context.get(name) is not None
        ]

    def action_features(self, actions: Sequence[Any] | None) -> tuple[list[str], Vector]:
        """Names from the settings' list, or `{"action", "features"}` objects where actions are dynamic."""
        if self._action is not None:
            return self._dynamic(actions)
        if actions is None:
            return self.actions, np.zeros((len(self.actions), 0), np.float32)
        for i, name in enumerate(actions):
            if not isinstance(name, str) or name not in self._known:
                raise FieldError(f"actions[{i}]", f"{name!r:.100} is no action of {self.name}")
        _check_list(actions)
        return list(actions), np.zeros((len(actions), 0), np.float32)

    def _dynamic(self, actions: Sequence[Any] | None) -> tuple[list[str], Vector]:
        assert self._action is not None
        if actions is None:
            raise FieldError("actions", f"missing: {self.name} needs the actions to choose from")
        names, rows = [], []
        for i, action in enumerate(actions[: MOST_ACTIONS + 1]):
            if not isinstance(action, Mapping) or action.keys() != {"action", "features"}:
                raise FieldError(f"actions[{i}]", 'must be {"action": name, "features": {…}}')
            name, features = action["action"], action["features"]
            if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME:
                raise FieldError(f"actions[{i}].action", f"must be text of 1 to {_LONGEST_NAME} characters")
            if not isinstance(features, Mapping):
                raise FieldError(f"actions[{i}].features", "must be an object")
            names.append(name)
            rows.append(self._action.encode(features, f"actions[{i}].features"))
        _check_list(names)
        return names, np.stack(rows)

    def reward(
        self, interactions: pl.DataFrame, owner: Indices, n: int, decisions: pl.DataFrame | None = None
    ) -> Rewards:
        """The settings' aggregation of the interactions' values, clipped; the component is not clipped."""
        chosen = self.settings.reward
        given = interactions["value"]
        values = (given if given.dtype == pl.Float64 else given.cast(pl.Float64)).to_numpy()  # null is NaN
        found = aggregate(chosen.aggregation, values, owner, n, chosen.default)
        clipped = found if chosen.clip is None else np.clip(found, *chosen.clip)
        return Rewards(clipped, {chosen.aggregation: found})

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """Any type may have a value; one without is left out of the aggregation."""

    def reward_observer(self, registry: "CollectorRegistry") -> "RewardObserver | None":
        """None."""
        return None

    def policy_observer(self, registry: "CollectorRegistry") -> "PolicyObserver | None":
        """None."""
        return None

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """`{"interactions": [{"type", "value"?, "attributes"?}, …]}`."""
        if unknown := sorted(line.keys() - {"interactions"}):
            raise FieldError(unknown[0], "unknown field, allowed is interactions")
        given = line.get("interactions")
        if not isinstance(given, list):
            raise FieldError("interactions", "must be a list" if "interactions" in line else "missing")
        return [_interaction(item, f"interactions[{i}]") for i, item in enumerate(given)]


def _check_list(names: Sequence[str]) -> None:
    if not 1 <= len(names) <= MOST_ACTIONS:
        raise FieldError("actions", f"must have 1 to {MOST_ACTIONS} actions")
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise FieldError("actions", f"{twice!r} is given more than once")


def _interaction(item: Any, path: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise FieldError(path, "must be an object")
    if unknown := sorted(item.keys() - {"type", "value", "attributes"}):
        raise FieldError(f"{path}.{unknown[0]}", "unknown field, allowed are type, value, attributes")
    kind, value, attributes = item.get("type"), item.get("value"), item.get("attributes")
    if not isinstance(kind, str) or not kind:
        raise FieldError(f"{path}.type", "must be text" if "type" in item else "missing")
    if value is not None and (type(value) not in (int, float) or not np.isfinite(float(value))):
        raise FieldError(f"{path}.value", "must be a finite number")
    if attributes is not None and not isinstance(attributes, Mapping):
        raise FieldError(f"{path}.attributes", "must be an object")
    named = [
        attribute(name, given, f"{path}.attributes.{name}") for name, given in (attributes or {}).items()
    ]
    return {"type": kind, "value": None if value is None else float(value), "attributes": named}


def applications() -> Iterator[GenericApplication]:
    """The built-in applications that are YAML alone."""
    for file in sorted((Path(__file__).parent / "examples").glob("*.yaml")):
        yield GenericApplication(read(file))
