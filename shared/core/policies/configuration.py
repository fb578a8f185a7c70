"""What a bandit policy is: one frozen, documented set of hyper-parameters with a content hash."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from typing import Any, Self

KINDS = ("epsilon_greedy", "thompson_beta", "thompson_linear", "linucb", "squarecb")
MAPS = ("default", "linear", "quadratic", "fourier")
WIDTHS = ("linear", "all")

_POSITIVE = ("ridge", "gamma", "fourier_scale")
_AT_LEAST_ONE = ("fourier_features", "samples", "scaling_rows")
_SHARES = ("epsilon", "floor")
_NUMBERS = {
    **dict.fromkeys((*_POSITIVE, *_SHARES, "alpha", "reward_low", "reward_high"), float),
    **dict.fromkeys((*_AT_LEAST_ONE, "seed"), int),
}


@dataclass(frozen=True)
class PolicyConfiguration:
    """Hyper-parameters of one policy. Rewards are expected to be of order one.

    Raises ValueError naming the field whose value is not allowed.
    """

    kind: str = "linucb"
    """One of KINDS."""
    map: str = "default"
    """Feature map, one of MAPS; default is fourier, and linear where actions bring features."""
    fourier_features: int = 200
    """Number of random Fourier features (map fourier)."""
    fourier_scale: float = 2.0
    """Standard deviation of the finer half of the random frequencies, times the root of the number of raw
    features; the coarser half has half of it."""
    seed: int = 0
    """Seed of the random frequencies and of Thompson sampling's noise."""
    ridge: float = 0.2
    """Ridge penalty: the prior precision of each coefficient."""
    alpha: float = 0.2
    """Width of LinUCB's bonus, and scale of Thompson's posterior, in standard deviations."""
    widths: str = "linear"
    """What uncertainty is taken from: linear, the part of the features that is linear in the context, or all.
    A ridge regression on the linear part alone knows well enough where an action was tried, and costs a
    decision far less."""
    gamma: float = 10.0
    """SquareCB's learning rate: gamma_t = gamma sqrt(k t) with k actions and t rewards learnt."""
    epsilon: float = 0.05
    """Share of rounds that epsilon-greedy explores uniformly."""
    floor: float = 0.002
    """Uniform share mixed into every policy: each of k actions has at least floor / k."""
    reward_low: float = 0.0
    reward_high: float = 1.0
    """Rewards that thompson_beta counts as a failure and as a success; one between counts in part."""
    samples: int = 256
    """Posterior samples behind Thompson sampling's distribution."""
    scaling_rows: int = 256
    """First rewards that the frozen standardisation is learnt from."""
    half_life_s: float | None = None
    """Age in seconds at which a reward counts half; None never forgets."""

    def __post_init__(self) -> None:
        for name, allowed in (("kind", KINDS), ("map", MAPS), ("widths", WIDTHS)):
            value = getattr(self, name)
            _require(name, value, value in allowed, f"one of {', '.join(allowed)}")
        for name, type_ in _NUMBERS.items():
            value = getattr(self, name)
            _require(name, value, _is_number(value, type_), "a finite number" if type_ is float else "whole")
        for name in _POSITIVE:
            _require(name, getattr(self, name), getattr(self, name) > 0, "above zero")
        for name in _AT_LEAST_ONE:
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in _SHARES:
            _require(name, getattr(self, name), 0 < getattr(self, name) <= 1, "in (0, 1]")
        _require("seed", self.seed, 0 <= self.seed < 2**63, "between 0 and 2**63 - 1")
        _require("alpha", self.alpha, self.alpha >= 0, "at least 0")
        high = self.reward_high
        _require("reward_high", high, high > self.reward_low, f"above reward_low, {self.reward_low:g}")
        if (value := self.half_life_s) is not None:
            _require(
                "half_life_s", value, _is_number(value, float) and value >= 0.001, "at least 0.001 or none"
            )

    @property
    def half_life_ms(self) -> int:
        """Half-life in whole milliseconds, 0 for none."""
        return 0 if self.half_life_s is None else round(self.half_life_s * 1000)

    @property
    def needs_curvature(self) -> bool:
        """Whether deciding needs the coefficients' uncertainty beside the coefficients."""
        return self.kind in ("linucb", "thompson_linear")

    def resolved(self, *, dynamic: bool = False) -> Self:
        """Return the same policy with its default map named."""
        if self.map != "default":
            return self
        return replace(self, map="linear" if dynamic else "fourier")

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Restore. Raises ValueError for anything but an object of known fields."""
        data: Any = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("a policy configuration is a JSON object")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValueError(f"unknown policy fields {unknown}; known are {sorted(known)}")
        return cls(**data)

    def identity(self, *, dynamic: bool = False) -> str:
        """Return 16 hex digits of content: another configuration is another policy."""
        return blake2b(self.resolved(dynamic=dynamic).to_json().encode(), digest_size=8).hexdigest()


def _is_number(value: object, type_: type) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and (type_ is float or isinstance(value, int))


def _require(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must be {wanted}")
