"""The policy that `linear` learns, as it is kept and served."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import orjson

from shared.core.arrays import Floats
from shared.core.features.maps import FeatureMap
from shared.core.features.scaling import Scaling
from shared.core.policies import distributions
from shared.core.policies.configuration import PolicyConfiguration


@dataclass(frozen=True, eq=False)
class LinearPolicy:
    """Takes the action with the highest linear score, but for `floor`."""

    actions: Sequence[str]
    floor: float
    configuration: PolicyConfiguration
    """Names the feature map; the rest of it is not used."""
    scaling: Scaling
    coefficients: Floats
    """(actions, size)."""

    @property
    def width(self) -> int:
        """d, numbers in a context."""
        return len(self.scaling.mean)

    def features(self, contexts: np.ndarray) -> Floats:
        """Map raw contexts (n, width) to features (n, size)."""
        return self._map(contexts)

    @cached_property
    def _map(self) -> FeatureMap:
        """Made once: drawing its frequencies takes longer than using them."""
        return FeatureMap(self.configuration, self.width, 0, self.scaling)

    def probabilities(self, contexts: np.ndarray) -> Floats:
        """Return the exact distribution over the actions, (n, actions), for raw contexts (n, width)."""
        scores: Floats = self.features(contexts) @ self.coefficients.T
        return distributions.mixed(distributions.best(scores, None), None, self.floor)

    def with_coefficients(self, coefficients: Floats) -> Self:
        """Return this policy with other coefficients."""
        return replace(self, coefficients=coefficients)

    def save(self, file: Path) -> None:
        """Write as JSON, from which `load` restores it to the bit."""
        document = {
            "actions": list(self.actions),
            "floor": self.floor,
            "map": self.configuration.map,
            "fourier_features": self.configuration.fourier_features,
            "seed": self.configuration.seed,
            "scaling": self.scaling.to_json(),
            "coefficients": self.coefficients.tolist(),
        }
        file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Restore from a verified file. Raises ValueError, KeyError for other content."""
        document = orjson.loads(file.read_bytes())
        configuration = PolicyConfiguration(
            map=document["map"],
            fourier_features=document["fourier_features"],
            seed=document["seed"],
        )
        coefficients = np.array(document["coefficients"], np.float64)
        return cls(
            document["actions"],
            document["floor"],
            configuration,
            Scaling.from_json(document["scaling"]),
            coefficients,
        )
