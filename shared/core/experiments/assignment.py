"""Which variant a subject gets: a consistent hash, the same in every process and for ever."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.core.draw import draw, uniform

PREFIX = "experiment:"
"""Begins the names of policies whose draw belongs to the subject instead of the decision."""
VERSION = 1
_SHARES_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Experiment:
    """A test's design. Raises ValueError for shares that are none, and for a control without one."""

    name: str
    shares: Mapping[str, float]
    """Variant → its part of the test's subjects, in the order of the draw."""
    subjects: float
    """Share of all subjects that are in the test, in [0, 1]; who is at one share still is at a larger one."""
    control: str

    def __post_init__(self) -> None:
        if not all(share > 0 for share in self.shares.values()):
            raise ValueError("shares must be above 0")
        if abs(sum(self.shares.values()) - 1) > _SHARES_TOLERANCE:
            raise ValueError(f"shares must sum to 1, not {sum(self.shares.values()):.9g}")
        if self.control not in self.shares:
            raise ValueError(f"control {self.control!r} is none of {', '.join(self.shares)}")
        if not 0 <= self.subjects <= 1:
            raise ValueError(f"subjects is {self.subjects!r}; it must be in [0, 1]")

    @property
    def policy(self) -> str:
        """The name that its decisions are logged under."""
        return f"{PREFIX}{self.name}"

    def includes(self, subject: str) -> bool:
        """Whether a subject is in the test."""
        return uniform(subject, f"{self.policy} subjects", VERSION) < self.subjects

    def variant(self, subject: str) -> str:
        """What a subject of the test gets: drawn with the shares by a hash of the subject alone."""
        names = list(self.shares)
        return names[draw(list(self.shares.values()), uniform(subject, self.policy, VERSION))]


def owner_of_draw(policy: str) -> str:
    """Which field of a decision its draw belongs to."""
    return "subject_id" if policy.startswith(PREFIX) else "decision_id"
