"""The policy that an application's requests are answered from: one immutable value, replaced as a whole."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from shared.core.arrays import Floats
from shared.core.policies.model import Model


@dataclass(frozen=True, eq=False)
class ServedPolicy:
    """A solved model and what it has learnt."""

    application: str
    name: str
    offsets: tuple[int, ...]
    """Per partition of the rewards, the first offset that the model has not learnt."""
    model: Model
    learnt_at: int | None
    """When the newest update in it was written, ms since 1970; None before any."""
    served_since: int
    """When this version was put in place, ms since 1970."""
    resets: int = 0
    """Resets of arms, in all partitions together."""

    @cached_property
    def version(self) -> int:
        """Rewards learnt or passed over, in all partitions together, and resets of arms; it only grows."""
        return sum(self.offsets) + self.resets

    @property
    def pulls(self) -> Floats:
        """Rewards learnt of each action, (actions,), discounted where the policy forgets."""
        return self.model.count

    @cached_property
    def means(self) -> Floats:
        """Mean reward of each action, (actions,); NaN for one without rewards."""
        model = self.model
        # The constant feature stands behind the raw ones; its moment is the sum of rewards.
        constant = 0 if model.coefficients.shape[1] == 1 else model.width + model.action_width
        known = model.count > 0
        means = np.full(len(known), np.nan)
        means[known] = model.signature.moment[known, constant] / model.count[known]
        return means

    @property
    def mean_rewards(self) -> list[float | None]:
        """Mean reward of each action; None for one without rewards."""
        return [None if np.isnan(mean) else mean for mean in self.means.tolist()]
