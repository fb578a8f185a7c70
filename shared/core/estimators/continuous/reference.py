"""What earlier vectors settle, so that each later one can be weighed by itself, as it comes.

Coordinates, bandwidth and reward model are made of decisions from before the first one that counts: weights
are then settled in advance, which a confidence sequence asks for, and the same whenever they are worked out.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from shared.core.arrays import Floats
from shared.core.estimators.continuous.action_model import ActionModel, Predicted
from shared.core.estimators.continuous.coordinates import Coordinates
from shared.core.estimators.continuous.smoothing import WIDENED
from shared.core.estimators.continuous.weighing import VectorLog, default_bandwidth, log_weights
from shared.core.features.scaling import Scaling


@dataclass(frozen=True, eq=False)
class Reference:
    """Made from earlier decisions; takes logs of later ones, whose densities were all logged."""

    coordinates: Coordinates
    scaling: Scaling
    model: ActionModel
    bandwidth: float
    """In standard deviations of the earlier vectors."""
    decisions: int
    """Earlier ones."""

    @classmethod
    def fit(cls, log: VectorLog, bandwidth: float | None = None) -> Self:
        """Fit earlier decisions. Without `bandwidth`, it is the default for as many of them.

        Raises ValueError if all vectors are alike, or densities are over numbers that do not determine the
        others.
        """
        coordinates, scaling = Coordinates.fit(log.taken), Scaling.fit(log.contexts)
        coordinates.log_unit()
        model = ActionModel.fit(scaling.apply(log.contexts), coordinates(log.taken), log.reward)
        width = default_bandwidth(len(log), coordinates.size) if bandwidth is None else bandwidth
        return cls(coordinates, scaling, model, width, len(log))

    def __str__(self) -> str:
        return (
            f"densities are those logged; a kernel of {self.bandwidth:.3g} standard deviations, in "
            f"{self.coordinates.size} dimensions, stands for the policy's vector; {self.decisions} earlier "
            "decisions tell what vectors earn, and how they vary"
        )

    @property
    def bandwidths(self) -> tuple[float, float]:
        """Of the kernel that is judged by, and of the wider one that tells its bias."""
        return self.bandwidth, WIDENED * self.bandwidth

    @cached_property
    def digest(self) -> str:
        """Two that are alike weigh alike."""
        found = hashlib.sha256(repr(self.bandwidth).encode())
        of = self.coordinates
        for each in (of.mean, of.directions, of.deviations, self.scaling.mean, self.scaling.scale):
            found.update(each.tobytes())
        found.update(self.model.coefficients.tobytes())
        return found.hexdigest()

    def weights(self, log: VectorLog) -> Floats:
        """Return the weights of n decisions under both kernels, (2, n)."""
        assert log.density is not None
        taken, wanted = self.coordinates(log.taken), self.coordinates(log.wanted)
        outside = self.coordinates.outside(log.wanted)
        density = np.log(log.density) + self.coordinates.log_unit()
        return np.exp([log_weights(taken, wanted, outside, density, each) for each in self.bandwidths])

    def predicted(self, log: VectorLog) -> Predicted:
        """Return what the reward model expects of the vectors logged and wanted."""
        contexts = self.scaling.apply(log.contexts)
        return Predicted(
            self.model.predict(contexts, self.coordinates(log.taken)),
            self.model.predict(contexts, self.coordinates(log.wanted)),
        )
