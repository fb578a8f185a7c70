"""The variants, and who is asked for feedback: a function of the subject, the same every time."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.applications.files import read_as
from shared.applications.settings import Number, Section, Text
from shared.core.draw import uniform


class Variant(Section):
    """A model, and the settings of its generation."""

    model: Text
    settings: dict[str, bool | int | float | str]


class Variants(Section):
    """The variants by name, and the share of subjects whose feedback is collected."""

    variants: Annotated[dict[Text, Variant], Field(min_length=1)]
    collection_rate: Annotated[Number, Field(ge=0, le=1)] = 0.3

    def collected(self, subject_id: str) -> bool:
        """Whether the subject belongs to the sample; a higher rate's sample holds a lower one's."""
        return uniform(subject_id, "assistant feedback", 0) < self.collection_rate


def read_variants(file: Path = Path(__file__).parent / "variants.yaml") -> Variants:
    """The variants in a file. Raises `SettingsError`."""
    return read_as(file, Variants)
