"""Who is asked for feedback, and who gets which variant: functions of the subject, the same every time."""

from itertools import accumulate
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from shared.applications.files import read_as
from shared.applications.settings import Number, Section, Text
from shared.core.draw import uniform

#: How far shares may be from a sum of one.
TOLERANCE = 1e-9


class Variant(Section):
    """A model, the settings of its generation, and its part of the test's users."""

    model: Text
    settings: dict[str, bool | int | float | str]
    share: Annotated[Number, Field(gt=0, le=1)]


class Variants(Section):
    """The variants by name, and the share of subjects whose feedback is collected."""

    variants: Annotated[dict[Text, Variant], Field(min_length=1)]
    collection_rate: Annotated[Number, Field(ge=0, le=1)] = 0.3

    @model_validator(mode="after")
    def _check(self) -> "Variants":
        total = sum(variant.share for variant in self.variants.values())
        if abs(total - 1) > TOLERANCE:
            message = f"the shares must sum to 1, not {total:.9g}"
            raise PydanticCustomError("invalid", "{message}", {"key": "variants", "message": message})
        return self

    def assigned(self, subject_id: str, experiment: str) -> str:
        """The variant of a user in an experiment: a consistent hash over the shares."""
        u = uniform(subject_id, f"assistant experiment {experiment}", 0)
        sums = accumulate(variant.share for variant in self.variants.values())
        *_, last = self.variants
        return next((name for name, total in zip(self.variants, sums, strict=True) if u < total), last)

    def collected(self, subject_id: str) -> bool:
        """Whether the subject belongs to the sample; a higher rate's sample holds a lower one's."""
        return uniform(subject_id, "assistant feedback", 0) < self.collection_rate


def read_variants(file: Path = Path(__file__).parent / "variants.yaml") -> Variants:
    """The variants in a file. Raises `SettingsError`."""
    return read_as(file, Variants)
