"""W3C trace context (https://www.w3.org/TR/trace-context/): read from HTTP, carried in record headers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

#: Names of the headers, the same over HTTP and in Kafka records.
TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
#: Characters of `tracestate` that are passed on (section 3.3.1.5 of the specification asks for 512).
STATE_LIMIT = 512

_FORMAT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_STATE = re.compile(r"[\x20-\x7e]*", re.ASCII)


@dataclass(frozen=True)
class TraceContext:
    """One span of a trace: identifiers in lower-case hexadecimal (32 and 16 digits), flags as a byte."""

    trace_id: str
    span_id: str
    flags: int = 1
    state: str = ""

    def child(self, random: Random) -> "TraceContext":
        """A new span of the same trace."""
        return replace(self, span_id=f"{random.getrandbits(64) or 1:016x}")

    @property
    def traceparent(self) -> str:
        """The header's value, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def headers(self) -> list[tuple[str, bytes]]:
        """Headers for a Kafka record."""
        found = [(TRACEPARENT, self.traceparent.encode())]
        return [*found, (TRACESTATE, self.state.encode())] if self.state else found


def begin(random: Random) -> TraceContext:
    """The first span of a new trace."""
    return TraceContext(f"{random.getrandbits(128) or 1:032x}", f"{random.getrandbits(64) or 1:016x}")


def parse(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """The sender's span, or None where the header is absent or breaks the specification (section 3.2).

    A later version is read as far as version 00 goes; a state that is too long or not printable is left out.
    """
    match = _FORMAT.fullmatch(traceparent.strip()) if traceparent else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = (tracestate or "").strip()
    if len(state) > STATE_LIMIT or not _STATE.fullmatch(state):
        state = ""
    return TraceContext(trace_id, span_id, int(flags, 16), state)


def from_headers(headers: Iterable[tuple[str, bytes | None]]) -> TraceContext | None:
    """The span in a Kafka record's headers, or None."""
    found = {name: value.decode("ascii", "replace") for name, value in headers if value is not None}
    return parse(found.get(TRACEPARENT), found.get(TRACESTATE))
