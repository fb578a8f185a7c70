"""The variants that exist, as the reward model ranks them in each profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

import numpy as np
import orjson

from shared.applications.voice_assistant.signals import Agent
from shared.core.arrays import Floats
from shared.core.policies import distributions


@dataclass(frozen=True, eq=False)
class VariantPolicy:
    """Takes the variant that promises most in the call's profile, but for `floor`."""

    actions: Sequence[str]
    profiles: Sequence[str]
    predicted: Floats
    """(profiles, actions)."""
    floor: float

    @property
    def width(self) -> int:
        """The profile and the agent, one-hot."""
        return len(self.profiles) + len(get_args(Agent))

    def probabilities(self, contexts: np.ndarray) -> Floats:
        """Return the distribution over the variants, (n, actions), for contexts (n, width)."""
        if contexts.ndim != 2 or contexts.shape[1] != self.width:
            raise ValueError(f"contexts of shape {contexts.shape}; wanted (n, {self.width})")
        scores = self.predicted[contexts[:, : len(self.profiles)].argmax(axis=1)]
        return distributions.mixed(distributions.best(scores, None), None, self.floor)

    def save(self, file: Path) -> None:
        """Write as JSON."""
        document = {
            "actions": list(self.actions),
            "profiles": list(self.profiles),
            "predicted": self.predicted.tolist(),
            "floor": self.floor,
        }
        file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Restore from a verified file. Raises ValueError, KeyError for other content."""
        document = orjson.loads(file.read_bytes())
        predicted = np.array(document["predicted"], np.float64)
        actions, profiles = document["actions"], document["profiles"]
        if predicted.shape != (len(profiles), len(actions)):
            raise ValueError(f"{predicted.shape} predictions for {len(profiles)} x {len(actions)}")
        return cls(actions, profiles, predicted, document["floor"])
