"""The entertainment recommender under the contract of all applications."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shared.applications.attributes import attribute
from shared.applications.coded import CodedApplication
from shared.applications.contract import Attribute, Indices, Rewards, Vector
from shared.applications.entertainment import reward
from shared.applications.entertainment.line import Facts, read_line
from shared.applications.entertainment.state import WIDTH, Context, StateSettings, read_state_settings
from shared.applications.entertainment.strategies import Strategies, read_strategies
from shared.applications.files import SettingsError, read
from shared.applications.reading import one_of, validated
from shared.applications.settings import ApplicationSettings


class Entertainment(CodedApplication):
    """Actions are strategies of recommending."""

    REWARD_CODE = 1

    def __init__(self, settings: ApplicationSettings, strategies: Strategies, states: StateSettings) -> None:
        super().__init__(settings)
        if strange := set(self.actions) - set(strategies.names()):
            raise SettingsError(f"actions: {', '.join(sorted(strange))}: strategies without parameters")
        self.strategies, self.states = strategies, states
        self.context_width = WIDTH

    def featurise(self, context: Mapping[str, Any]) -> Vector:
        """As `Context.vector`."""
        return validated(Context, context, "context").vector()

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """Every raw value of the context."""
        given = validated(Context, context, "context").model_dump()
        return [attribute(name, value, f"context.{name}") for name, value in given.items()]

    def parameters(self, action: str) -> dict[str, Any]:
        """What an action tells the recommender. Raises `FieldError`."""
        return self.strategies.parameters(action)

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """A type of the input line, and its other fields as attributes. Raises `FieldError`."""
        one_of(kind, reward.INTERACTIONS)
        validated(Facts, attributes, "attributes")

    def evaluate(self, interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
        """As `reward.evaluate`."""
        return reward.evaluate(interactions, owner, n)

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """As `line.read_line`."""
        return read_line(line)


def applications() -> Iterator[Entertainment]:
    """The recommender as its files say."""
    settings = read(Path(__file__).parent / "settings.yaml")
    yield Entertainment(settings, read_strategies(), read_state_settings())
