"""Labelled data as a contextual bandit: rows in seeded orders, reward 1 for naming the right class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.core.arrays import Floats

FOLDER = Path(__file__).resolve().parents[3] / "tests" / "data" / "uci_multiclass"
SEPARATORS = {"satimage": None, "optdigits": ","}


@dataclass(frozen=True)
class LabelledRows:
    """n rows of d features with their right classes."""

    name: str
    features: Floats
    """(n, d), as in the file."""
    classes: np.ndarray
    """(n,) int64: index of the right class, from 0."""

    @property
    def actions(self) -> int:
        """Number of classes."""
        return int(self.classes.max()) + 1

    def shuffled(self, seed: int) -> "LabelledRows":
        """Return the rows in the order of this seed."""
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(self.classes))
        return LabelledRows(self.name, self.features[order], self.classes[order])

    def standardised(self) -> Floats:
        """Return the features with mean 0 and deviation 1 over all rows, constant ones as 0."""
        deviation = self.features.std(axis=0)
        return np.asarray(
            (self.features - self.features.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        )


def load_rows(name: str) -> LabelledRows:
    """Read satimage or optdigits: numbers, the class last. Raises OSError, ValueError."""
    table = np.loadtxt(FOLDER / f"{name}.data", delimiter=SEPARATORS[name])
    return LabelledRows(name, table[:, :-1], np.unique(table[:, -1], return_inverse=True)[1])
