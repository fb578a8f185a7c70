"""What a language model's training measured on held-out questions, row by row: `held_out.json`.

Whoever judges the candidate works its figures out of the rows again, intervals and length control included,
and needs neither the model nor its libraries.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

FILE = "held_out.json"
JUDGE = "reward_held_out.json"
"""Of the reward model by which answers were scored, where that is not part of the artefact."""
OWN, JUDGES = (FILE, f"policy/{FILE}"), (JUDGE, f"reward/{FILE}")
"""Where an artefact may have them: beside its model, or in a folder for each of two."""
LARGEST = 64 << 20
"""Bytes: a million rows."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Row = Annotated[int, Field(ge=0)]


class _Rows(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    question: tuple[Row, ...]
    """Number of each row's question: rows of one question depend on one another."""

    @model_validator(mode="after")
    def _as_long(self) -> Self:
        for name in type(self).model_fields:
            values = getattr(self, name)
            if isinstance(values, tuple) and len(values) != len(self.question):
                raise ValueError(f"{name} has {len(values)} rows, question {len(self.question)}")
        return self


class Pairs(_Rows):
    """Scores of answers that people preferred, and of those that they did not; a higher one is better."""

    kind: Literal["pairs"] = "pairs"
    chosen: tuple[Number, ...]
    rejected: tuple[Number, ...]
    chosen_length: tuple[Length, ...]
    """Characters."""
    rejected_length: tuple[Length, ...]
    base_chosen: tuple[Number, ...] | None = None
    """Scores by the model that training went on from; None: it was not asked."""
    base_rejected: tuple[Number, ...] | None = None
    longer_wins: bool = True
    """Which of two answers length alone would prefer, by the pairs that were trained on."""


class Answers(_Rows):
    """Rewards, by the reward model, of the answers to each question before and after training, means."""

    kind: Literal["answers"] = "answers"
    before: tuple[Number, ...]
    after: tuple[Number, ...]
    before_length: tuple[Length, ...]
    """Tokens."""
    after_length: tuple[Length, ...]
    divergence: Number
    """From the model before, in nats per token, over these answers."""
    largest_divergence: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """What training aimed at: further away, the reward model has learnt nothing of such answers."""
    ran_away: bool = False
    """Whether training was ended because the divergence could not be held."""


HeldOut = Annotated[Pairs | Answers, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Pairs | Answers] = TypeAdapter(HeldOut)


def numbered(questions: Sequence[str]) -> tuple[int, ...]:
    """Questions as numbers, in the order in which they come."""
    places: dict[str, int] = {}
    return tuple(places.setdefault(each, len(places)) for each in questions)


def write(folder: Path, found: Pairs | Answers) -> None:
    """Keep it beside the model. Raises OSError."""
    (folder / FILE).write_bytes(_ADAPTER.dump_json(found) + b"\n")


def read(file: Path) -> Pairs | Answers:
    """Restore. Raises ValueError (pydantic's ValidationError) for other content, OSError."""
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file}: has more than {LARGEST:,} bytes")
    return _ADAPTER.validate_json(file.read_bytes())
