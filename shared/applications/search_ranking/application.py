"""Search ranking under the contract of all applications."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from shared.applications.coded import CodedApplication
from shared.applications.contract import Attribute, FieldError, Indices, Rewards, Vector, VectorAction
from shared.applications.files import SettingsError, read
from shared.applications.reading import Record, one_of, validated
from shared.applications.search_ranking import reward
from shared.applications.search_ranking.log import NONE, Acted, read_log
from shared.applications.search_ranking.state import FEATURES, read_state
from shared.applications.search_ranking.weights import NAMES, WEIGHTS, Presets, normalised, read_presets
from shared.applications.settings import ApplicationSettings


class SearchRanking(CodedApplication):
    """Actions are presets of weights; a trained policy gives weights of its own."""

    REWARD_CODE = 1

    def __init__(self, settings: ApplicationSettings, presets: Presets) -> None:
        super().__init__(settings)
        if strange := set(self.actions) - presets.presets.keys():
            raise SettingsError(f"actions: {', '.join(sorted(strange))}: presets without weights")
        self.presets = presets
        self.context_width = len(FEATURES)
        self.vector_action = VectorAction(WEIGHTS, NAMES, low=0.0, high=1.0, total=1.0)

    def featurise(self, context: Mapping[str, Any]) -> Vector:
        """The 23 numbers of a state; the online policy standardises them by itself."""
        return read_state(context, "context").vector()

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """None: the vector holds all that a trainer needs."""
        return []

    def parameters(self, action: str) -> dict[str, float]:
        """The seven weights of a preset by name, summing to 1. Raises `FieldError`."""
        if action not in self.presets.presets:
            raise FieldError("action", f"{action!r:.100} is none of {', '.join(self.presets.presets)}")
        return dict(zip(NAMES, normalised(self.presets.presets[action]).tolist(), strict=True))

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """What was done with the product of a rank, or that nothing was done. Raises `FieldError`."""
        one_of(kind, [*reward.VALUES, NONE])
        validated(Record if kind == NONE else Acted, attributes, "attributes")

    def evaluate(self, interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
        """As `reward.evaluate`."""
        return reward.evaluate(interactions, owner, n)

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The interactions of one search. Raises `FieldError`."""
        return read_log(line).rows()


def applications() -> Iterator[SearchRanking]:
    """Search ranking as its files say."""
    yield SearchRanking(read(Path(__file__).parent / "settings.yaml"), read_presets())
