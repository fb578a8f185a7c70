"""Which products are played by simulators, and what the trainer is asked for once they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Hyper-parameter that names a language model.
MODEL = "base_model"


@dataclass(frozen=True)
class Wanted:
    """A training: an algorithm, and its hyper-parameters where the defaults would take hours."""

    algorithm: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """A demo: so many decisions, and a training of them."""

    decisions: int
    training: Wanted
    language: Wanted | None = None
    """The training instead of that one where there is a language model to train."""

    def wanted(self, model: Path | None) -> Wanted:
        """The training, of the model in a folder if there is one. Raises ValueError if it trains none."""
        if model is None:
            return self.training
        if self.language is None:
            raise ValueError(f"{self.training.algorithm} trains no language model")
        named = {MODEL: str(model.absolute())}
        return Wanted(self.language.algorithm, named | dict(self.language.parameters))


PRODUCTS: Mapping[str, Product] = {
    "voice_assistant": Product(3_000, Wanted("prompt_search")),
    "entertainment": Product(4_000, Wanted("q_learning")),
    "assistant": Product(2_000, Wanted("linear"), Wanted("reward_model", {"epochs": 1})),
    "search_ranking": Product(3_000, Wanted("cql", {"epochs": 20})),
    "dashboard_widgets": Product(4_000, Wanted("linear"), Wanted("dpo", {"min_samples": 10})),
}
