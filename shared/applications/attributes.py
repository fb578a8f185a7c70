"""Named values of JSON as the schemas hold them."""

from typing import Any

from shared.applications.contract import Attribute, FieldError

#: Whole numbers beyond this do not survive as double-precision floats: identifiers belong into text.
EXACT = 2**53


def attribute(name: str, value: Any, path: str) -> Attribute:
    """A number (true and false become 1 and 0) or a text under its name. Raises `FieldError` at `path`."""
    if isinstance(value, str):
        return {"name": name, "number": None, "text": value}
    if isinstance(value, int) and abs(value) > EXACT:
        raise FieldError(path, "must be at most 2**53 as a whole number: send identifiers as text")
    if isinstance(value, bool | int | float) and value - value == 0:  # neither NaN nor an infinity
        return {"name": name, "number": float(value), "text": None}
    raise FieldError(path, "must be text, a finite number, true or false")
