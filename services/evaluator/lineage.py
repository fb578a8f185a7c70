"""Which rewards a candidate was trained on, those of the candidates that it goes on from included."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from shared.wire.training import Candidate, Span


@dataclass(frozen=True)
class Lineage:
    """Ranges of rewards, each with the time (milliseconds) from which decisions in it were trained on."""

    parts: tuple[tuple[Span, int], ...]
    known_from: int = 0
    """Decisions from before this time (milliseconds) count as trained on: the log does not say."""

    def trained(self) -> pl.Expr:
        """Whether a row (partition, offset, decision_time) was trained on."""
        found = pl.col("decision_time") < self.known_from
        for span, decided_from in self.parts:
            within = pl.col("offset").is_between(span.first, span.next, closed="left")
            found |= (
                (pl.col("partition") == span.partition) & within & (pl.col("decision_time") >= decided_from)
            )
        return found


def lineage(candidate: Candidate, known: Mapping[tuple[str, str], Candidate]) -> Lineage:
    """What a candidate and its ancestors, by application and id in `known`, were trained on.

    Where that is not told (no ranges, or an ancestor that the log no longer has), only decisions made after
    the training was asked for are sure to be new.
    """
    parts, seen = list[tuple[Span, int]](), set[str]()
    each: Candidate | None = candidate
    while each is not None and each.lineage:
        parts += [(span, each.decided_from) for span in each.lineage]
        seen.add(each.candidate_id)
        if not each.previous or each.previous in seen:
            return Lineage(tuple(parts))
        each = known.get((candidate.application, each.previous))
    return Lineage(tuple(parts), candidate.requested_at)
