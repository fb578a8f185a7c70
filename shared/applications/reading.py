"""JSON from outside to typed records: strict types, unknown fields refused, each problem by its field."""

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from shared.applications.attributes import EXACT
from shared.applications.contract import FieldError
from shared.http.errors import path as dotted

M = TypeVar("M", bound=BaseModel)

#: Characters of a text that is kept; the collector's limit for one attribute.
LONGEST_TEXT = 65_536


class Record(BaseModel):
    """A record of input. Nothing is converted but whole floats to integers; numbers have to be finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > EXACT:
        raise PydanticCustomError("too_large", "must be at most 2**53 as a whole number")
    return value


Number = Annotated[float, BeforeValidator(_number)]
Whole = Annotated[int, BeforeValidator(_whole), Field(ge=-EXACT, le=EXACT)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=EXACT)]
Rating = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=5)]
Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]

#: Words for pydantic's, where those speak of Python.
_MESSAGES = {
    "missing": "missing",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "less_than_equal": "must be at most {le}",
    "greater_than_equal": "must be at least {ge}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
}


def validated(model: type[M], document: Any, prefix: str = "") -> M:
    """`document` as a record. Raises `FieldError` for the first problem, at its path behind `prefix`."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        location = [*([prefix] if prefix else []), *found["loc"]]
        raise FieldError(dotted(location), _message(model, found)) from error


def one_of(kind: str, known: Collection[str]) -> None:
    """Refuse an interaction's type that is none of those. Raises `FieldError`."""
    if kind not in known:
        raise FieldError("type", f"must be one of {', '.join(known)}")


def _message(model: type[BaseModel], found: ErrorDetails) -> str:
    if found["type"] == "extra_forbidden":
        hint = f", known are {', '.join(model.model_fields)}" if len(found["loc"]) == 1 else ""
        return f"unknown field{hint}"
    if found["type"] == "literal_error":
        return f"must be one of {found['ctx']['expected'].replace(' or ', ', ')}"
    message = _MESSAGES.get(found["type"], found["msg"])
    return message.format(**found.get("ctx", {})) if found["type"] in _MESSAGES else message
