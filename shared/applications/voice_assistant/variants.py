"""Variants of the prompt as combinations of slot values."""

from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from shared.applications.contract import FieldError
from shared.applications.files import read_as
from shared.applications.settings import Section

#: Slot → value.
Slots = dict[str, str]
Values = Annotated[list[str], Field(min_length=1)]


class Variants(Section):
    """Slots with their values, and the named combinations that may answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: Annotated[dict[str, Values], Field(min_length=1)]
    variants: Annotated[dict[Annotated[str, Field(pattern=r"^v[0-9]+[a-z]$")], Slots], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> "Variants":
        for name, chosen in self.variants.items():
            if chosen.keys() != self.slots.keys():
                raise _refuse(name, f"must have exactly the slots {', '.join(self.slots)}")
            for slot, value in chosen.items():
                if value not in self.slots[slot]:
                    raise _refuse(name, f"{slot} is {value!r}, not one of {', '.join(self.slots[slot])}")
        return self

    def of(self, variant: str) -> Slots:
        """The slots of a variant. Raises `FieldError` for a name that is none."""
        if variant not in self.variants:
            raise FieldError("policy_variant", f"{variant!r:.100} is none of {', '.join(self.variants)}")
        return self.variants[variant]

    def grid(self) -> list[Slots]:
        """Every combination of slot values, in the order of the slots."""
        return [dict(zip(self.slots, values, strict=True)) for values in product(*self.slots.values())]


def _refuse(key: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("invalid", "{message}", {"key": f"variants.{key}", "message": message})


def read_variants(file: Path = Path(__file__).parent / "variants.yaml") -> Variants:
    """The variants in a file. Raises `SettingsError`."""
    return read_as(file, Variants)
