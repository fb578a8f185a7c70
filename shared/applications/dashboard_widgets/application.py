"""Dashboard widgets under the contract of all applications."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
from pydantic import Field

from shared.applications.attributes import attribute
from shared.applications.coded import CodedApplication
from shared.applications.contract import Attribute, FieldError, Indices, Rewards, Vector
from shared.applications.dashboard_widgets import reward
from shared.applications.dashboard_widgets.entries import Domains, Entities, Name, Told, read_rating
from shared.applications.dashboard_widgets.prompts import SCENARIOS, widget_prompt
from shared.applications.files import SettingsError, read
from shared.applications.hashing import hashed, words
from shared.applications.reading import Id, Record, Text, one_of, validated
from shared.applications.settings import ApplicationSettings

QUESTION_WIDTH, INTENT_WIDTH = 24, 8
"""Numbers that the words of a question, and its domains and entities, are hashed to for the online policy."""


class Context(Record):
    """A request's context."""

    question_id: Id
    question: Text
    size: Name | None = None
    domains: Domains = Field(default_factory=list)
    entities: Entities = Field(default_factory=dict)


class DashboardWidgets(CodedApplication):
    """Actions are scenarios."""

    REWARD_CODE = 1

    def __init__(self, settings: ApplicationSettings) -> None:
        super().__init__(settings)
        if strange := set(self.actions) - set(SCENARIOS):
            raise SettingsError(f"actions: {', '.join(sorted(strange))}: not among {', '.join(SCENARIOS)}")
        self.context_width = QUESTION_WIDTH + INTENT_WIDTH

    def featurise(self, context: Mapping[str, Any]) -> Vector:
        """The question's words, then its domains and the names of its entities, hashed."""
        read = validated(Context, context, "context")
        intent = [f"domain {domain}" for domain in read.domains] + [f"entity {key}" for key in read.entities]
        return np.concatenate([hashed(words(read.question), QUESTION_WIDTH), hashed(intent, INTENT_WIDTH)])

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """Everything of the context; lists and objects as JSON."""
        given = validated(Context, context, "context").model_dump(exclude_defaults=True)
        texts = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in given.items()}
        return [attribute(name, text, f"context.{name}") for name, text in texts.items()]

    def parameters(self, action: str) -> dict[str, str]:
        """The scenario. Raises `FieldError`."""
        if action not in SCENARIOS:
            raise FieldError("action", f"{action!r:.100} is none of {', '.join(SCENARIOS)}")
        return {"scenario": action}

    def prompt(self, context: Mapping[str, Any]) -> str:
        """What a language model is asked for a context. Raises `FieldError`."""
        read = validated(Context, context, "context")
        return widget_prompt(read.question, read.domains, read.entities, self.actions)

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """A rating. Raises `FieldError`."""
        one_of(kind, [reward.RATING])
        validated(Told, attributes, "attributes")

    def evaluate(self, interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
        """As `reward.evaluate`."""
        return reward.evaluate(interactions, owner, n)

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rating of one entry. Raises `FieldError`."""
        given = read_rating(line).model_dump(exclude_none=True)
        texts = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in given.items()}
        attributes = [attribute(name, text, name) for name, text in texts.items()]
        return [{"type": reward.RATING, "value": None, "attributes": attributes}]


def applications() -> Iterator[DashboardWidgets]:
    """Dashboard widgets as the file says."""
    yield DashboardWidgets(read(Path(__file__).parent / "settings.yaml"))
