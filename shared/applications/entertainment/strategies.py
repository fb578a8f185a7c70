"""Actions to what the recommender is told."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shared.applications.contract import FieldError
from shared.applications.files import read_as
from shared.applications.settings import Number, Section

Energy = Literal["low", "medium", "high"]
Diversity = Literal["focused", "balanced", "diverse"]
Novelty = Literal["familiar", "mixed", "exploratory"]
Share = Annotated[Number, Field(ge=0, le=1)]
Percent = Annotated[Number, Field(ge=0, le=100)]


class EnergyRange(Section):
    """Energy wanted of an item, and its valence, all within 0 and 1."""

    min: Share
    max: Share
    valence: Share

    @model_validator(mode="after")
    def _check(self) -> "EnergyRange":
        if self.min >= self.max:
            raise PydanticCustomError("invalid", "{message}", {"key": "max", "message": "must be above min"})
        return self


class Spread(Section):
    """Genres of one list, and the share of items that explore."""

    genre_count: Annotated[int, Field(ge=1)]
    exploration: Share


class Strategies(Section):
    """The parts that strategies are put together from."""

    energy: dict[Energy, EnergyRange]
    diversity: dict[Diversity, Spread]
    novelty: dict[Novelty, tuple[Percent, Percent]]

    def names(self) -> list[str]:
        """Every combination: `<energy>_<diversity>_<novelty>`."""
        return ["_".join(parts) for parts in product(self.energy, self.diversity, self.novelty)]

    def parameters(self, action: str) -> dict[str, Any]:
        """`energy` {min, max, valence}, `diversity` {genre_count, exploration}, `popularity` {min, max}.

        Raises `FieldError` for a name that is no action.
        """
        if action not in self.names():
            raise FieldError("action", f"{action!r:.100} is no action")
        energy, diversity, novelty = action.split("_")
        low, high = self.novelty[novelty]  # type: ignore[index]
        return {
            "energy": self.energy[energy].model_dump(),  # type: ignore[index]
            "diversity": self.diversity[diversity].model_dump(),  # type: ignore[index]
            "popularity": {"min": low, "max": high},
        }


def read_strategies(file: Path = Path(__file__).parent / "strategies.yaml") -> Strategies:
    """The strategies in a file. Raises `SettingsError`."""
    return read_as(file, Strategies)
