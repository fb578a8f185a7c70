"""A schema seen through some of its fields: what a reader does not need is skipped, not decoded."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import lru_cache

from shared.wire.schemas import Definition, Schema

#: Marks a field that is read over.
SKIPPED = "skipped"


@lru_cache
def view(schema: Schema, columns: tuple[str, ...]) -> Schema:
    """`schema` for `decode_columns` to read these columns only, in the schema's order.

    A field of a nested record is named with a dot, `decision.context`, and becomes a column of that name. On
    the wire a nested record is its fields in a row, so the same bytes fit. Raises ValueError for a column
    that the schema does not have.
    """
    fields = list(_flat(schema.definition["fields"], columns))
    if unknown := set(columns).difference(field["name"] for field in fields):
        raise ValueError(f"{schema.name} has no fields {', '.join(sorted(unknown))}")
    return replace(schema, definition={**schema.definition, "fields": fields})


def _flat(fields: list[Definition], columns: Collection[str], parent: str = "") -> Iterator[Definition]:
    for field in fields:
        name, inner = parent + field["name"], field["type"]
        nested = isinstance(inner, dict) and inner.get("type") == "record"
        if nested and name not in columns:
            yield from _flat(inner["fields"], columns, f"{name}.")
        else:
            yield {"name": name, "type": inner, SKIPPED: name not in columns}
