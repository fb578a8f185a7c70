"""What an audit found, in the words of the design."""

from __future__ import annotations

from collections import Counter

HOLDS = "holds"
INVARIANTS = {
    "I1": "every 2xx event is in the log",
    "I2": "nothing refused is in the log",
    "I3": "each reward revision is applied exactly once",
    "I4": "joined rewards equal an offline oracle's",
    "I5": "logged propensities are in (0, 1] and can be recomputed",
    "I9": "in = out + dead letters + late + duplicates + filtered",
    "I13": "committed offset ≤ durable effect",
}


class Findings:
    """For each invariant the first violation that was found, and how many more there are."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def broken(self, invariant: str, what: str) -> None:
        """A violation, said in a sentence."""
        self._first.setdefault(invariant, what)
        self._count[invariant] += 1

    def report(self) -> dict[str, str]:
        """Invariant → "holds", or what broke it."""
        return {name: self._verdict(name) for name in INVARIANTS}

    def _verdict(self, name: str) -> str:
        if not self._count[name]:
            return HOLDS
        more = self._count[name] - 1
        return self._first[name] + (f" (and {more:,} more)" if more else "")
