"""I9 and I13: every input has exactly one fate, and what is committed has had it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from shared.cli.audit.findings import Findings
from shared.cli.audit.inputs import Inputs
from shared.cli.audit.oracle import Expected, Fate

Origin = tuple[str, int, int]
"""Topic, partition, offset of an input."""
MUST_BE_DEAD = {Fate.DEAD, Fate.LATE}
MAY_BE_DEAD = {Fate.DUPLICATE, Fate.OPEN}
"""A copy that comes after its window may be refused as late instead of being known as a copy."""


class Accounts:
    """Adds up what became of the inputs, over all partitions."""

    def __init__(
        self, dead: Mapping[Origin, int], committed: Mapping[tuple[str, int], int], findings: Findings
    ) -> None:
        self.figures: Counter[str] = Counter(dict.fromkeys(("in", *(fate.value for fate in Fate)), 0))
        self._dead, self._committed, self._findings = dict(dead), committed, findings

    def settle(self, partition: int, inputs: Inputs, expected: Expected) -> None:
        """Take the fates of one partition's inputs, and hold them against the dead letters."""
        fates = {"decisions": expected.decision_fates, "interactions": expected.interaction_fates}
        for topic, of_topic in fates.items():
            of_topic = of_topic | dict.fromkeys(inputs.unusable[topic], Fate.DEAD)
            for offset, fate in of_topic.items():
                self._settle((topic, partition, offset), fate)
            self.figures["moved"] += inputs.astray[topic]
            self.figures["in"] += len(of_topic) + inputs.astray[topic]

    def missing(self, topic: str, partition: int, offset: int, what: str) -> None:
        """An effect is not there: I13 is broken as well if its cause is committed."""
        committed = self._committed.get((topic, partition), 0)
        if offset < committed:
            self._findings.broken("I13", f"{topic}-{partition} is committed up to {committed}, but {what}")

    def close(self) -> None:
        """All partitions are settled; what is left in the dead letters was never an input."""
        for topic, partition, offset in self._dead:
            self._findings.broken(
                "I9", f"a dead letter names {topic}-{partition}@{offset}, which is no input"
            )
        outcomes = sum(count for name, count in self.figures.items() if name != "in")
        if self.figures["in"] != outcomes:
            self._findings.broken("I9", f"{self.figures['in']} records in, {outcomes} accounted for")

    def _settle(self, origin: Origin, fate: Fate) -> None:
        letters = self._dead.pop(origin, 0)
        place = f"{origin[0]}-{origin[1]}@{origin[2]}"
        if letters > 1:
            self._findings.broken("I9", f"{place} is in the dead letters {letters} times")
        if fate in MUST_BE_DEAD and not letters:
            self._findings.broken("I9", f"{place} cannot be used, and is not in the dead letters")
            self.missing(*origin, f"{place} is not in the dead letters")
        if letters and fate not in MUST_BE_DEAD | MAY_BE_DEAD:
            self._findings.broken("I9", f"{place} is in the dead letters, and its fate is: {fate.value}")
        self.figures[Fate.DEAD.value if letters and fate in MAY_BE_DEAD else fate.value] += 1
