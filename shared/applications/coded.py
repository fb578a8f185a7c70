"""An application whose reward is code; its other settings are those of any application."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl

from shared.applications.contract import Indices, Rewards
from shared.applications.generic.application import GenericApplication


class CodedApplication(GenericApplication):
    """Features and actions as `settings` say, unless overridden; the reward as `evaluate` computes it.

    Of the section `reward`, aggregation and clip mean nothing here: the function says how rows add up.
    """

    REWARD_CODE: ClassVar[int]
    """Raised whenever `evaluate` would give other numbers for the same rows."""

    @cached_property
    def reward_version(self) -> str:
        """The code's number and the default."""
        return f"{self.name}-{self.REWARD_CODE}-{self.settings.reward.default:g}"

    def reward(
        self, interactions: pl.DataFrame, owner: Indices, n: int, decisions: pl.DataFrame | None = None
    ) -> Rewards:
        """`evaluate`'s rewards; the settings' default where a decision has no rows."""
        found = self.evaluate(interactions, owner, n)
        silent = np.bincount(owner, minlength=n) == 0
        if not silent.any():
            return found
        return Rewards(np.where(silent, self.settings.reward.default, found.reward), found.components)

    @abstractmethod
    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """As in `Application.check_interaction`."""

    @abstractmethod
    def evaluate(self, interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
        """Rewards of n decisions, as in `Application.reward`."""
