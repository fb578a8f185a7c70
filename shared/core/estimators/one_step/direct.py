"""The direct method: what a reward model says about the target policy, as good as the model."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.core.estimators.contract import Terms
from shared.core.estimators.log import Logged


@dataclass(frozen=True)
class Direct:
    """mean(q_target)."""

    name: str = "dm"
    parameter: None = None
    models_rewards: bool = True

    def terms(self, log: Logged) -> Terms:
        """The model's mean prediction under the target policy."""
        return Terms(log.models[1])


def estimators() -> Iterator[Direct]:
    """What this module offers."""
    yield Direct()
