"""When the continuous learner trains, and on what: bookkeeping only."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

CAPACITY = 1_000
NEW_SAMPLES = 100


@dataclass(frozen=True)
class Buffer:
    """The last samples, how many of them no training has seen, and whether one is running.

    Immutable: each method returns the buffer after it.
    """

    capacity: int = CAPACITY
    new_samples: int = NEW_SAMPLES
    samples: tuple[Any, ...] = ()
    unseen: int = 0
    taken: int | None = None
    """How many unseen samples the running training took; None while none is running."""

    def __post_init__(self) -> None:
        if not 0 < self.new_samples <= self.capacity:
            raise ValueError(
                f"new_samples {self.new_samples} must be from 1 to the capacity, {self.capacity}"
            )

    @property
    def training(self) -> bool:
        """Whether a training is running."""
        return self.taken is not None

    @property
    def due(self) -> bool:
        """Whether a training should start: enough is new, and none is running."""
        return self.unseen >= self.new_samples and not self.training

    def add(self, samples: Iterable[Any]) -> Self:
        """Append; the oldest beyond the capacity are forgotten."""
        new = tuple(samples)
        kept = (*self.samples, *new)[-self.capacity :]
        return replace(self, samples=kept, unseen=self.unseen + len(new))

    def start(self) -> tuple[Self, tuple[Any, ...]]:
        """Take everything for a training. Raises RuntimeError if none is due: one at a time."""
        if not self.due:
            state = "one is running" if self.training else f"{self.unseen} of {self.new_samples} are new"
            raise RuntimeError(f"no training is due: {state}")
        return replace(self, taken=self.unseen, unseen=0), self.samples

    def finish(self, succeeded: bool) -> Self:
        """End the running training; what a failed one took counts as unseen again. Raises RuntimeError."""
        if self.taken is None:
            raise RuntimeError("no training is running")
        unseen = self.unseen if succeeded else self.unseen + self.taken
        return replace(self, taken=None, unseen=unseen)
