"""Feature maps: raw contexts to the features that the ridge regressions are linear in."""

import numpy as np

from shared.core.features.scaling import Scaling
from shared.core.noise import normals, uniforms
from shared.core.policies.configuration import PolicyConfiguration


class FeatureMap:
    """Raw rows (n, width + action_width) to features (n, size), float64; a pure function of its arguments.

    With z the standardised features over the root of their number: linear is [z, 1]; quadratic adds all
    products z_i z_j, i <= j; fourier adds m random Fourier features sqrt(2/m) cos(w z + phase) (Rahimi and
    Recht 2007), w normal and of two scales, coarse and fine. Where actions bring features a, the linear part
    is [z, a, 1] and the products of z and a. Thompson sampling from Beta counts has no contexts: its map
    is [1].
    """

    def __init__(
        self,
        configuration: PolicyConfiguration,
        width: int,
        action_width: int,
        scaling: Scaling | None,
    ) -> None:
        """Raises ValueError if the map standardises and there is no scaling."""
        self._kind = feature_kind(configuration, action_width)
        if self._kind != "constant" and scaling is None:
            raise ValueError("this feature map needs a scaling")
        self._width, self._raw = width, width + action_width
        self._scaling = None if self._kind == "constant" else scaling
        self._roots = np.repeat(np.sqrt([max(width, 1), max(action_width, 1)]), [width, action_width])
        self._joint = action_width > 0
        self._upper = np.triu_indices(self._raw) if self._kind == "quadratic" else None
        if self._kind == "fourier":
            count = configuration.fourier_features
            noise = normals(configuration.seed, self._raw * count).reshape(self._raw, count)
            coarse = np.arange(count) < count // 2
            # z carries 1/sqrt(d) already, so the frequencies' scale needs no division by it.
            self._frequencies = noise * np.where(
                coarse, configuration.fourier_scale / 2.0, configuration.fourier_scale
            )
            self._phases = 2.0 * np.pi * uniforms(configuration.seed + 1, count)
            self._amplitude = np.sqrt(2.0 / count)
        self.size = feature_count(configuration, width, action_width)

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Map rows. Raises ValueError if their width is not the map's."""
        if raw.ndim != 2 or raw.shape[1] != self._raw:
            raise ValueError(f"contexts of shape {raw.shape}; wanted (n, {self._raw})")
        features = np.ones((len(raw), self.size))
        if self._scaling is None:
            return features
        z = self._scaling.apply(raw)
        z /= self._roots
        features[:, : self._raw] = z
        at = self._raw + 1
        if self._joint:
            products = z[:, : self._width, None] * z[:, None, self._width :]
            features[:, at : at + products[0].size] = products.reshape(len(raw), -1)
            at += products[0].size
        if self._upper is not None:
            features[:, at:] = z[:, self._upper[0]] * z[:, self._upper[1]]
        elif self._kind == "fourier":
            waves = z @ self._frequencies
            waves += self._phases
            np.multiply(np.cos(waves, out=waves), self._amplitude, out=features[:, at:])
        return features


def feature_map(
    configuration: PolicyConfiguration, width: int, action_width: int, scaling: Scaling | None
) -> FeatureMap | None:
    """Return the map, or None if it waits for a scaling."""
    if scaling is None and feature_kind(configuration, action_width) != "constant":
        return None
    return FeatureMap(configuration, width, action_width, scaling)


def feature_kind(configuration: PolicyConfiguration, action_width: int) -> str:
    """Return the name of the map: constant, linear, quadratic or fourier."""
    if configuration.kind == "thompson_beta":
        return "constant"
    return configuration.resolved(dynamic=action_width > 0).map


def linear_count(configuration: PolicyConfiguration, width: int, action_width: int) -> int:
    """Return how many of the map's features, its first, are linear in the context."""
    constant = feature_kind(configuration, action_width) == "constant"
    return 1 if constant else width + action_width + 1 + width * action_width


def feature_count(configuration: PolicyConfiguration, width: int, action_width: int) -> int:
    """Return how many features the map gives."""
    kind, raw = feature_kind(configuration, action_width), width + action_width
    extra = {"quadratic": raw * (raw + 1) // 2, "fourier": configuration.fourier_features}.get(kind, 0)
    return linear_count(configuration, width, action_width) + extra
