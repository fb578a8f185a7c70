"""The chat assistant under the contract of all applications."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shared.applications.assistant import reward
from shared.applications.assistant.feedback import Texts, read_feedback
from shared.applications.assistant.sampling import Variants, read_variants
from shared.applications.attributes import attribute
from shared.applications.coded import CodedApplication
from shared.applications.contract import Attribute, FieldError, Indices, Rewards, Vector
from shared.applications.files import SettingsError, read
from shared.applications.hashing import hashed, words
from shared.applications.reading import Record, Text, one_of, validated
from shared.applications.settings import ApplicationSettings

HASHED = 16
"""Numbers that a query's words are hashed to, for the online policy."""
LONG_QUERY = 1000.0
"""Characters that make the feature of length 1."""


class Context(Record):
    """A request's context."""

    query: Text


class Assistant(CodedApplication):
    """Actions are variants that may answer: models with settings."""

    REWARD_CODE = 1

    def __init__(self, settings: ApplicationSettings, variants: Variants) -> None:
        super().__init__(settings)
        if strange := set(self.actions) - variants.variants.keys():
            raise SettingsError(f"actions: {', '.join(sorted(strange))}: variants without a model")
        self.variants = variants
        self.context_width = HASHED + 1

    def featurise(self, context: Mapping[str, Any]) -> Vector:
        """The query's words, hashed, and the logarithm of its length."""
        query = validated(Context, context, "context").query
        length = np.log1p(len(query)) / np.log1p(LONG_QUERY)
        return np.append(hashed(words(query), HASHED), np.float32(length)).astype(np.float32)

    def attributes(self, context: Mapping[str, Any]) -> list[Attribute]:
        """The query."""
        return [attribute("query", validated(Context, context, "context").query, "context.query")]

    def parameters(self, action: str) -> dict[str, Any]:
        """`model` and `settings`. Raises `FieldError`."""
        if action not in self.variants.variants:
            raise FieldError("action", f"{action!r:.100} is none of {', '.join(self.variants.variants)}")
        return self.variants.variants[action].model_dump()

    def asked_of(self, subject_id: str) -> dict[str, Any]:
        """`collect_feedback`: whether the subject belongs to the sample that is asked for feedback."""
        return {"collect_feedback": self.variants.collected(subject_id)}

    def check_interaction(self, kind: str, value: float | None, attributes: Mapping[str, Any]) -> None:
        """Feedback: a rating with its stars as the value, a correction with its text. Raises `FieldError`."""
        one_of(kind, [*reward.FEEDBACK, reward.RATING])
        texts = validated(Texts, attributes, "attributes")
        if kind == reward.RATING and value not in reward.STARS:
            raise FieldError("value", "must be a rating: 1, 2, 3, 4 or 5")
        if kind == "correction" and texts.correction is None:
            raise FieldError("attributes.correction", "missing")

    def evaluate(self, interactions: pl.DataFrame, owner: Indices, n: int) -> Rewards:
        """As `reward.evaluate`."""
        return reward.evaluate(interactions, owner, n)

    def read_line(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One interaction. Raises `FieldError`."""
        return [read_feedback(line).row()]


def applications() -> Iterator[Assistant]:
    """The assistant as its files say."""
    yield Assistant(read(Path(__file__).parent / "settings.yaml"), read_variants())
