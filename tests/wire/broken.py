"""Bytes that are no record: how a good one is broken, and the reason that must be given."""

from shared.wire.schemas import Schema
from shared.wire.varints import varint

TEN_MEGABYTES = 10_000_000


def broken(schema: Schema, raw: bytes) -> dict[str, tuple[bytes | None, set[str]]]:
    """Name → (what `raw`, a record whose first field is a string, became; the reasons that fit it).

    Both truncated and malformed fit bytes that promise more than they hold.
    """
    prefix, body = schema.prefix, raw[10:]
    cut = {"truncated", "malformed"}
    return {
        "null value": (None, {"null-value"}),
        "empty value": (b"", {"bad-marker"}),
        "garbage": (b"\x8f\x02not avro at all", {"bad-marker"}),
        "JSON": (b'{"decision_id": "d-1"}', {"bad-marker"}),
        "half a header": (prefix[:7], {"truncated"}),
        "header only": (prefix, {"truncated"}),
        "last byte missing": (raw[:-1], {"truncated"}),
        "one byte too many": (raw + b"\x00", {"trailing-bytes"}),
        "record twice": (raw + body, {"trailing-bytes"}),
        "wrong fingerprint": (b"\xc3\x01" + bytes(8) + body, {"unknown-fingerprint"}),
        "ten megabytes": (raw + bytes(TEN_MEGABYTES), {"too-large"}),
        "garbage after the header": (prefix + b"\xff" * 64, cut),
        "text longer than memory": (prefix + varint(2**62) + body, cut),
        "text of negative length": (prefix + varint(-9) + body, cut),
        "text that is not UTF-8": (prefix + varint(2) + b"\xff\xfe" + raw[10 + 1 + len(first(raw)) :], cut),
    }


def first(raw: bytes) -> bytes:
    """The text of a record's first field, which is short."""
    return raw[11 : 11 + raw[10] // 2]
