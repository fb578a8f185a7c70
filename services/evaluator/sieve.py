"""Decisions that can be weighed, and why others were left out."""

import polars as pl

from shared.core.arrays import Bools
from shared.core.estimators.limits import Reason


class Sieve:
    """Decisions whose contexts have the features of a policy, if it reads them, and whose rewards are finite,
    to begin with."""

    def __init__(self, frame: pl.DataFrame, width: int | None = None) -> None:
        self.frame = frame
        """What is left."""
        self._reasons: list[Reason] = []
        if width is not None:
            self.keep(
                "schema-drift",
                (frame["context"].list.len() == width).to_numpy(),
                f"their contexts have not the {width} features that the policy reads",
            )
        finite = self.frame["reward"].is_finite().to_numpy()
        self.keep("broken-reward", finite, "their rewards are no finite numbers")

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """By cause, how many were left out."""
        return tuple(self._reasons)

    def keep(self, name: str, kept: Bools, detail: str) -> None:
        """Leave out those of what is left that are not kept, (n,)."""
        if wrong := int((~kept).sum()):
            self._reasons.append(Reason(name, float(wrong), None, f"{wrong} decisions left out: {detail}"))
            self.frame = self.frame.filter(kept)
